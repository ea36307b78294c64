package checksum

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzUnmarshal: what is read is what was written, and nothing without a right checksum.
func FuzzUnmarshal(f *testing.F) {
	type document struct {
		A int               `json:"a"`
		B []string          `json:"b,omitempty"`
		C map[string]string `json:"c,omitempty"`
	}
	whole, err := MarshalJSON(document{1, []string{"x"}, map[string]string{"y": "z"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{whole, whole[:len(whole)-1], []byte("{}"), []byte("{\"a\": 1}\n"), []byte("[1]"), nil, []byte(lineBegin)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d document
		if UnmarshalEdited(b, &d) == nil {
			var again document
			text, err := MarshalJSON(d)
			if err != nil || UnmarshalJSON(text, &again) != nil {
				t.Errorf("%q: what was read cannot be written and read: %v", b, err)
			}
		}
		// Text that somebody hashed anew has to be strict JSON still.
		text := append(bytes.Clone(b), line(b)...)
		if UnmarshalJSON(text, &d) == nil && !json.Valid(append(bytes.Clone(b), "\n}\n"...)) {
			t.Errorf("%q was read and is no JSON without its checksum", text)
		}
	})
}
