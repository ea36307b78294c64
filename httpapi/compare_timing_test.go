package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/trirank/trirank/httpapi"
)

// BenchmarkCompare measures what HTTP adds to rankings that take next to no time.
func BenchmarkCompare(b *testing.B) {
	c := serve(b, sample(b).Engine(nil), httpapi.Options{})
	for _, k := range []int{10, 100} {
		for _, gzip := range []string{"identity", "gzip"} {
			b.Run(fmt.Sprintf("k=%d/encoding=%s", k, gzip), func(b *testing.B) {
				target := fmt.Sprintf("/v1/compare?q=wireless+mouse&k=%d", k)
				b.ReportAllocs()
				for b.Loop() {
					a := c.get(target, "Accept-Encoding", gzip)
					b.SetBytes(int64(len(a.body)))
				}
			})
		}
	}
}
