package httpapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed web
var webFiles embed.FS

// page holds the files of the page. Their addresses carry a digest of all of them,
// so that browsers keep them for good, and never mix those of two versions.
type page struct {
	version string
	html    []byte
	etag    string
	files   map[string][]byte
}

// newPage reads the files, which cannot fail but by a mistake in this package.
func newPage() *page {
	p := &page{files: map[string][]byte{}}
	digest := sha256.New()
	err := fs.WalkDir(webFiles, "web", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := webFiles.ReadFile(name)
		digest.Write([]byte(name))
		digest.Write(b)
		p.files[strings.TrimPrefix(name, "web/")] = b
		return err
	})
	if err != nil {
		panic(err)
	}
	p.version = hex.EncodeToString(digest.Sum(nil)[:6])
	p.etag = `"` + p.version + `"`
	// Addresses are relative, so that the page works below any path of a proxy.
	p.html = bytes.ReplaceAll(p.files["index.html"], []byte(`="assets/`), []byte(`="assets/`+p.version+`/`))
	delete(p.files, "index.html")
	return p
}

// contentSecurityPolicy lets the page load nothing from elsewhere but the pictures
// of products, and be part of no other page.
const contentSecurityPolicy = "default-src 'self'; img-src * data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

func (p *page) index(r *request) error {
	h := &r.ctx.Response.Header
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", p.etag)
	if strings.Contains(string(r.ctx.Request.Header.Peek("If-None-Match")), p.etag) {
		r.ctx.Response.SetStatusCode(http.StatusNotModified)
		return nil
	}
	r.send("text/html; charset=utf-8", p.html)
	return nil
}

func (p *page) asset(r *request) error {
	version, name := r.args[0], r.args[1]
	b, ok := p.files[name]
	if !ok || version != p.version {
		return newProblem(http.StatusNotFound, "there is no such file, or only in another version (load the page again)")
	}
	h := &r.ctx.Response.Header
	h.Set("Content-Security-Policy", contentSecurityPolicy) // an SVG picture is a document too
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	contentType := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".js" {
		contentType = "text/javascript; charset=utf-8" // whatever the system's own table says
	}
	r.send(contentType, b)
	return nil
}
