package httpapi

import (
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/trirank/trirank/internal/processors"
)

// seen sees whether a processor is idle while it becomes JSON.
type seen struct{ idle *bool }

func (s seen) MarshalJSON() ([]byte, error) {
	*s.idle = processors.Idle()
	return []byte("1"), nil
}

// Writing an answer is work for a processor, of which batches of queries take account.
func TestSendJSONIsWork(t *testing.T) {
	for range processors.Count() - 1 {
		defer processors.Work()()
	}
	idle := true
	r := &request{ctx: &fasthttp.RequestCtx{}}
	if err := r.sendJSON(seen{&idle}); err != nil {
		t.Fatal(err)
	}
	if idle {
		t.Error("nobody works while an answer is written")
	}
	if !processors.Idle() {
		t.Error("an answer that was written keeps a processor busy")
	}
}
