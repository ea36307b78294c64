package textfile

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzLines reads bytes as a file, compressed or not: lines are numbered from 1 on, none
// is longer than asked for, and what is read is no more than a file may hold.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "a\r\nb\n\nc", "\xff\xfea\x00\n\x00", "\x1f\x8b\x08\x00", "\x28\xb5\x2f\xfd\x04\x00", "long line, longer than the bound\nb\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := New(bytes.NewReader(b))
		if err != nil {
			return
		}
		const most = 16
		lines := NewLines(io.LimitReader(file, 1<<20), most)
		for n := 1; ; n++ {
			line, err := lines.Next()
			switch {
			case errors.Is(err, ErrTooLong):
			case err != nil:
				return
			case len(line) > most+2:
				t.Fatalf("a line of %d bytes", len(line))
			}
			if lines.Number() != n {
				t.Fatalf("line %d has number %d", n, lines.Number())
			}
		}
	})
}
