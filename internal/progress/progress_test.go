package progress

import (
	"bytes"
	"testing"
	"time"
)

func TestPlainLines(t *testing.T) {
	var b bytes.Buffer
	at := time.Unix(0, 0)
	p := Start(&b, "embedding", "product", 1000)
	p.now = func() time.Time { return at }
	p.start, p.reported = at, at
	p.Skip(100)
	p.Set(150) // too soon to be worth a line
	at = at.Add(10 * time.Second)
	p.Set(300)
	at = at.Add(20 * time.Second)
	p.Set(1000)
	p.Done()
	want := "embedding: 100 products are done already; going on with the rest\n" +
		"embedding: 300 of 1000 products (30%), 20/s, 35s left\n" +
		"embedding: 1000 of 1000 products (100%), 30/s\n" +
		"embedding: 1000 products in 30s, 30/s\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
