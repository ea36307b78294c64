// Package httpapi serves an engine over HTTP: the JSON API that openapi.yaml
// describes, health checks, metrics, and the page that shows rankings side by
// side.
//
// A [Server] is made by [New] and runs by [Server.Serve] until its context ends;
// then readiness fails first, requests under way are finished within a grace
// period, and Serve returns when nothing uses the engine any more. The engine can
// be exchanged at any time by [Server.SetEngine]: requests under way keep the
// engine with which they began, and the channel that SetEngine returns tells when
// the last of them is done, so that the old one can be closed. The Server never
// closes an engine.
//
// Work is bounded: so many requests run at a time, so many more wait for so long,
// and the rest are refused with status 429. Each has a deadline; the rankings that
// miss it are reported as such, and the others are answered. A request whose client
// is gone ends. Errors are RFC 9457 problem documents, see [Problem].
//
// So is what clients hold: connections, of which the longest idle gives way to a new
// one, and the bytes of bodies and of answers, from before they are read or worked out
// until they are done with. Clients have time as long as they make progress.
//
// All methods are safe for use by many goroutines. This package uses no cgo and no
// global state.
package httpapi
