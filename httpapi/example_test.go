package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/trirank/trirank/httpapi"
	"github.com/trirank/trirank/httpapi/internal/fakeshop"
)

func Example() {
	first, second := fakeshop.Tiny(10).Engine(nil), fakeshop.Tiny(20).Engine(nil)
	s := httpapi.New(first, httpapi.Options{Version: "v1.0.0"})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, ln) }()

	// A new index: when the channel is closed, the old one can be closed too.
	<-s.SetEngine(second)

	resp, err := http.Get("http://" + ln.Addr().String() + "/livez")
	if err != nil {
		panic(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Print(string(b))

	stop()
	fmt.Println(<-served)
	// Output:
	// ok
	// <nil>
}
