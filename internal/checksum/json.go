package checksum

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/regular"
)

// The last line of a document, before the brace that closes it:
//
//	"checksum": "sha256:HEX"
//
// HEX is the SHA-256 of all bytes before the comma that ends the line above.
const (
	lineBegin = ",\n  \"checksum\": \"sha256:"
	lineEnd   = "\"\n}\n"
	lineBytes = len(lineBegin) + 2*sha256.Size + len(lineEnd)
)

var errChanged = errors.New("its checksum is wrong: it was changed since it was written")

// ErrNone is the error of a document that has no checksum.
var ErrNone = errors.New("it has no checksum in its last line")

// MarshalJSON returns v, a struct with at least one field, as indented JSON whose last
// member is a checksum of all before it.
func MarshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	text, ok := bytes.CutSuffix(b.Bytes(), []byte("\n}\n"))
	if !ok {
		return nil, fmt.Errorf("cannot add a checksum to %T: it is not an object with members", v)
	}
	return append(text, line(text)...), nil
}

// UnmarshalEdited reads what MarshalJSON returned, and also what a person wrote without
// a checksum.
func UnmarshalEdited(b []byte, v any) error {
	switch err := UnmarshalJSON(b, v); {
	case errors.Is(err, ErrNone):
		return Strict(b, v)
	case errors.Is(err, errChanged):
		return fmt.Errorf("%w (if the change is meant, take its last member, \"checksum\", out)", err)
	default:
		return err
	}
}

func line(text []byte) string {
	sum := sha256.Sum256(text)
	return lineBegin + hex.EncodeToString(sum[:]) + lineEnd
}

// UnmarshalJSON reads into v what MarshalJSON returned. A document that has other
// bytes, or members that v does not have, is an error; ErrNone is that of one without
// a checksum.
func UnmarshalJSON(b []byte, v any) error {
	at := len(b) - lineBytes
	if at < 0 || !bytes.HasPrefix(b[at:], []byte(lineBegin)) {
		// What is no JSON at all was cut off or is something else.
		return cmp.Or(Strict(b, new(json.RawMessage)), ErrNone)
	}
	if string(b[at:]) != line(b[:at]) {
		return errChanged
	}
	return Strict(append(bytes.Clone(b[:at]), "\n}\n"...), v)
}

// Strict reads JSON into v, one value with no members that v does not have.
func Strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more behind its end (it must be one JSON object)")
	}
	return nil
}

// WriteJSON makes or replaces the file at path with MarshalJSON of v.
func WriteJSON(path string, v any) error {
	b, err := MarshalJSON(v)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, b)
}

// FormatError is the error of a document of another format than the one that is read.
type FormatError struct{ Format, Reads int }

// Error says which format the document has.
func (e *FormatError) Error() string {
	return fmt.Sprintf("its format is %d, this program reads %d", e.Format, e.Reads)
}

// MaxDocument is more bytes than any document has that people do not write.
const MaxDocument = 1 << 30

// ReadJSON reads a file that WriteJSON wrote, whose member "format" must be format.
// One of another format is a *FormatError.
func ReadJSON(path string, format int, v any) error {
	b, err := regular.ReadFile(path, MaxDocument)
	if err != nil {
		return err
	}
	var is struct{ Format *int }
	if json.Unmarshal(b, &is) == nil && is.Format != nil && *is.Format != format {
		return &FormatError{*is.Format, format}
	}
	return UnmarshalJSON(b, v)
}
