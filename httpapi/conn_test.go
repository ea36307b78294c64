package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trirank/trirank/engine"
)

// pipe is a connection of a server, and its other end.
func pipe(o Options) (ours *conn, theirs net.Conn) {
	a, b := net.Pipe() // which buffers nothing
	return newConnections(o.withDefaults()).admit(a), b
}

// Who takes an answer slowly but steadily has it whole; who takes nothing, or next to
// nothing, is cut off.
func TestWriteByProgress(t *testing.T) {
	const size = 4 << 20
	for _, c := range []struct {
		name  string
		piece int // bytes that the client takes each second
		whole bool
	}{
		{"steady", 40 << 10, true}, {"stalled", 0, false}, {"trickle", 100, false}, {"below the least rate", 8 << 10, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := pipe(Options{WriteTimeout: 10 * time.Second})
				go func() {
					for c.piece > 0 {
						if _, err := io.CopyN(io.Discard, theirs, int64(c.piece)); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				start := time.Now()
				n, err := ours.Write(make([]byte, size))
				took := time.Since(start)
				if whole := err == nil && n == size; whole != c.whole {
					t.Errorf("%d bytes, %v after %v", n, err, took)
				}
				if !c.whole && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if !c.whole && took > time.Minute || c.whole && took < 90*time.Second {
					t.Errorf("it took %v", took)
				}
				ours.Close()
				theirs.Close()
				time.Sleep(2 * time.Second) // until the client has noticed
			})
		})
	}
}

// Who took much at first has no more patience for it.
func TestWriteStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := pipe(Options{WriteTimeout: 10 * time.Second})
		go io.CopyN(io.Discard, theirs, 3<<20)
		start := time.Now()
		if n, err := ours.Write(make([]byte, 4<<20)); err == nil || n < 3<<20 || time.Since(start) > 11*time.Second {
			t.Errorf("%d bytes, %v after %v", n, err, time.Since(start))
		}
		ours.Close()
		theirs.Close()
	})
}

// A request comes in within ReadTimeout, or its body as fast as the least rate.
func TestReadByProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := func(c net.Conn, n int) (time.Duration, error) {
			start := time.Now()
			_, err := io.ReadFull(c, make([]byte, n))
			return time.Since(start), err
		}
		feed := func(c net.Conn, piece int) {
			for {
				if _, err := c.Write(make([]byte, piece)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}
		for piece, whole := range map[int]bool{32 << 10: true, 100: false} {
			ours, theirs := pipe(Options{ReadTimeout: 10 * time.Second})
			ours.enter(reading)
			go feed(theirs, piece)
			took, err := read(ours, 1<<20)
			if whole != (err == nil) || took > time.Minute {
				t.Errorf("%d bytes a second: %v after %v", piece, err, took)
			}
			ours.Close()
			theirs.Close()
			time.Sleep(2 * time.Second)
		}
		// What was answered may be idle for longer than what never asked.
		ours, theirs := pipe(Options{ReadTimeout: time.Second, IdleTimeout: time.Minute})
		if took, err := read(ours, 1); err == nil || took != time.Second {
			t.Errorf("a new connection: %v after %v", err, took)
		}
		ours.enter(working)
		ours.enter(idle)
		if took, err := read(ours, 1); err == nil || took != time.Minute {
			t.Errorf("an idle connection: %v after %v", err, took)
		}
		ours.Close()
		theirs.Close()
	})
}

// What an answer holds is released once, when it is written or its connection is closed.
func TestOwe(t *testing.T) {
	for name, end := range map[string]func(*conn){
		"written": func(c *conn) { c.enter(idle) }, "closed": func(c *conn) { c.Close() }, "evicted": func(c *conn) { c.enter(idle); c.all.evictIdle() },
	} {
		c, _ := pipe(Options{})
		c.enter(working)
		released := 0
		c.whenWritten(func() { released++ })
		if released != 0 {
			t.Errorf("%s: released at once", name)
		}
		end(c)
		c.Close()
		if released != 1 {
			t.Errorf("%s: released %d times", name, released)
		}
		c.whenWritten(func() { released++ })
		if released != 2 {
			t.Errorf("%s: a closed connection keeps what its answer holds", name)
		}
	}
}

// A short body must not become a thousand times as much memory before it is refused.
func TestBoundedLists(t *testing.T) {
	body := []byte(`{"queries": [` + strings.Repeat("{},", 300_000) + `{}]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req := batchRequest{bounded[engine.Request]{most: 100}}
	if err := json.Unmarshal(body, &req); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if !req.Queries.more || len(req.Queries.items) != 100 {
		t.Errorf("%d queries are read", len(req.Queries.items))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 10<<20 {
		t.Errorf("a body of %d bytes took %d bytes", len(body), n)
	}
	for _, bad := range []string{`{"queries": 1}`, `{"queries": [{"nope": 1}]}`, `{"queries": [1]}`, `{"queries": {}}`} {
		d := json.NewDecoder(bytes.NewReader([]byte(bad)))
		d.DisallowUnknownFields()
		if err := d.Decode(&batchRequest{bounded[engine.Request]{most: 100}}); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
