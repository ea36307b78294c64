// Package events writes and reads the event files that TensorBoard shows: values
// of numbers by step of a training.
//
// An event file is a row of TFRecords, each an Event message. Only what plots of
// numbers take is written, as simple values, which every TensorBoard can read.
//
// Records: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
// Messages: event.proto and summary.proto in
// https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto
package events

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// version is what the first record of a file says. From 2 on TensorBoard takes a
// start of a session, and no step out of order, for a sign of a resumed run.
const version = "brain.Event:2"

// The field numbers of the messages.
const (
	eventTime    = 1
	eventStep    = 2
	eventVersion = 3
	eventSummary = 5
	eventSession = 7
	summaryValue = 1
	valueTag     = 1
	valueSimple  = 2
	sessionState = 1
	stateStart   = 1
)

// Writer writes one event file. It is meant for one goroutine.
type Writer struct {
	path string
	file *os.File // nil once closed
	w    *bufio.Writer
}

// Create makes an event file in dir, and dir itself if it is missing. The file is
// called events.out.tfevents.SECONDS.HOST.NAME after at, which is also the time of
// its first record; if there is one of that name, a number is added. Name tells apart
// files that are made at the same time, such as "validation".
//
// FirstStep is the first step that will be written. Above 0 the run is a resumed
// one: TensorBoard then drops what earlier files in dir say about this step and later
// ones, whatever their names and tags. So writers that work side by side, such as
// those of training and of validation, each need a dir of their own; TensorBoard
// shows each dir as a run.
func Create(dir, name string, at time.Time, firstStep int) (*Writer, error) {
	fail := func(err error) (*Writer, error) {
		return nil, fmt.Errorf("cannot create an event file in %s: %w", dir, err)
	}
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return fail(fmt.Errorf("%q cannot end a file name; give a word such as \"train\"", name))
	}
	if firstStep < 0 {
		return fail(fmt.Errorf("the first step is %d; steps count from 0", firstStep))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost" // the name is for people only
	}
	base := filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%d.%s.%s", at.Unix(), host, name))
	// The file is written in place and not aside, because TensorBoard follows it
	// as it grows. What a crash leaves of it can be read up to the last whole record.
	f, err := createNew(base)
	if err != nil {
		return fail(err)
	}
	w := &Writer{path: f.Name(), file: f, w: bufio.NewWriterSize(f, 1<<16)}
	err = w.record(appendVersion(nil, at))
	if err == nil && firstStep > 0 {
		err = w.record(appendStart(nil, at, firstStep))
	}
	if err == nil {
		err = w.w.Flush() // a full disk shows now, and TensorBoard sees the run
	}
	if err != nil {
		return fail(errors.Join(err, f.Close(), os.Remove(w.path)))
	}
	return w, nil
}

// createNew makes a file at path, or at path.1, path.2, ..., the first that is free.
func createNew(path string) (*os.File, error) {
	for i, p := 1, path; ; i++ {
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
		p = fmt.Sprintf("%s.%d", path, i)
	}
}

// Path returns where the file is.
func (w *Writer) Path() string { return w.path }

// Scalars adds the values that the tags have at a step; the tags are sorted. The file
// keeps values as 32-bit floats. TensorBoard shows NaN and infinities as such. A tag
// is a name such as "loss/train", where slashes make groups. Writing no values writes
// nothing.
func (w *Writer) Scalars(step int, at time.Time, values map[string]float64) error {
	if w.file == nil {
		return w.failed(os.ErrClosed)
	}
	if step < 0 {
		return w.failed(fmt.Errorf("the step is %d; steps count from 0", step))
	}
	if len(values) == 0 {
		return nil
	}
	for tag := range values {
		// TensorBoard gives up on the whole file at a tag that is not UTF-8.
		if tag == "" || !utf8.ValidString(tag) {
			return w.failed(fmt.Errorf("%.80q is no tag; give a name in UTF-8", tag))
		}
	}
	return w.failed(w.record(appendScalars(nil, step, at, values)))
}

// Flush hands what is buffered to the operating system, where TensorBoard sees it.
func (w *Writer) Flush() error {
	if w.file == nil {
		return w.failed(os.ErrClosed)
	}
	return w.failed(w.w.Flush())
}

// Close writes what is buffered, makes it durable and closes the file. Closing twice
// is harmless.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.w.Flush(), w.file.Sync(), w.file.Close())
	w.file = nil
	return w.failed(err)
}

func (w *Writer) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot write events to %s: %w", w.path, err)
}

func (w *Writer) record(data []byte) error {
	_, err := w.w.Write(appendRecord(nil, data))
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of a record: CRC32-C, turned and shifted so that the checksum
// of data that holds checksums is as good as any.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendRecord frames data: its length in 8 bytes, their checksum, data, its checksum.
func appendRecord(b, data []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b[start:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, masked(data))
}

// appendHead appends what every event begins with.
func appendHead(b []byte, step int, at time.Time) []byte {
	seconds := float64(at.Unix()) + float64(at.Nanosecond())/1e9
	b = protowire.AppendTag(b, eventTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(seconds))
	if step != 0 { // zero is what a missing field means
		b = protowire.AppendTag(b, eventStep, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(step))
	}
	return b
}

func appendVersion(b []byte, at time.Time) []byte {
	b = appendHead(b, 0, at)
	b = protowire.AppendTag(b, eventVersion, protowire.BytesType)
	return protowire.AppendString(b, version)
}

func appendStart(b []byte, at time.Time, step int) []byte {
	session := protowire.AppendTag(nil, sessionState, protowire.VarintType)
	session = protowire.AppendVarint(session, stateStart)
	b = appendHead(b, step, at)
	b = protowire.AppendTag(b, eventSession, protowire.BytesType)
	return protowire.AppendBytes(b, session)
}

func appendScalars(b []byte, step int, at time.Time, values map[string]float64) []byte {
	var summary, value []byte
	for _, tag := range slices.Sorted(maps.Keys(values)) {
		value = protowire.AppendTag(value[:0], valueTag, protowire.BytesType)
		value = protowire.AppendString(value, tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(values[tag])))
		summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
		summary = protowire.AppendBytes(summary, value)
	}
	b = appendHead(b, step, at)
	b = protowire.AppendTag(b, eventSummary, protowire.BytesType)
	return protowire.AppendBytes(b, summary)
}

// Event is the values of one step.
type Event struct {
	Step int
	At   time.Time // in UTC; good to about a microsecond, as files keep it
	// Values has the value of each tag, which files keep as 32-bit floats.
	Values map[string]float64
}

const (
	maxRecord  = 64 << 20 // bytes; records of numbers have a few hundred
	maxSeconds = 1e11     // about the year 5138, and as long before 1970
)

var errMessage = errors.New("its message is damaged; the file was changed after it was written, or is no event file")

// Read yields the events of a file that hold numbers as Writer writes them, in the
// order of the file; other events, of other programs too, are passed over. It stops
// at the first record that is cut off or damaged with an error that says where; one
// that is cut off wraps io.ErrUnexpectedEOF, as the last record of a file that is
// being written may be.
func Read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		in := bufio.NewReader(r)
		var data bytes.Buffer
		at := int64(0)
		for number := 1; ; number++ {
			err := readRecord(in, &data)
			if err == io.EOF {
				return
			}
			var m message
			if err == nil {
				m, err = parseEvent(data.Bytes())
			}
			if err == nil && number == 1 && !strings.HasPrefix(m.version, "brain.Event:") {
				err = errors.New("it does not name the version of the file; this is a file of TFRecords, but no event file")
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("cannot read events: record %d at byte %d: %w", number, at, err))
				return
			}
			at += int64(data.Len()) + 16
			if len(m.event.Values) > 0 && !yield(m.event, nil) {
				return
			}
		}
	}
}

// readRecord puts the data of the next record into data. It returns io.EOF itself if
// there is none.
func readRecord(r io.Reader, data *bytes.Buffer) error {
	var head [12]byte
	switch n, err := io.ReadFull(r, head[:]); {
	case err == io.EOF:
		return io.EOF
	case err == io.ErrUnexpectedEOF:
		return fmt.Errorf("it is cut off: %d bytes of a head of 12 are there: %w", n, err)
	case err != nil:
		return err
	}
	if masked(head[:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return errors.New("the checksum of its length is wrong; the file is damaged, or no event file")
	}
	size := binary.LittleEndian.Uint64(head[:8])
	if size > maxRecord {
		return fmt.Errorf("it has %d bytes, and %d are the most that is read", size, maxRecord)
	}
	data.Reset()
	// The buffer grows with what is there, not with what the length promises.
	n, err := io.CopyN(data, r, int64(size)+4)
	if err == io.EOF {
		return fmt.Errorf("it is cut off: %d of %d bytes are there: %w", n, size+4, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	sum := binary.LittleEndian.Uint32(data.Bytes()[size:])
	data.Truncate(int(size))
	if masked(data.Bytes()) != sum {
		return errors.New("the checksum of its data is wrong; the file is damaged")
	}
	return nil
}

// message is what matters of an Event message.
type message struct {
	event   Event
	version string
}

func parseEvent(b []byte) (m message, err error) {
	var seconds float64
	err = fields(b, func(f field) error {
		switch {
		case f.is(eventTime, protowire.Fixed64Type):
			seconds = math.Float64frombits(f.number)
		case f.is(eventStep, protowire.VarintType):
			m.event.Step = int(int64(f.number))
		case f.is(eventVersion, protowire.BytesType):
			m.version = string(f.bytes)
		case f.is(eventSummary, protowire.BytesType):
			return fields(f.bytes, func(f field) error {
				if !f.is(summaryValue, protowire.BytesType) {
					return nil
				}
				return m.event.value(f.bytes)
			})
		}
		return nil
	})
	if err != nil {
		return message{}, err
	}
	if !(math.Abs(seconds) <= maxSeconds) { // so that NaN is refused as well
		return message{}, fmt.Errorf("its time is %v seconds after 1970; the file is damaged", seconds)
	}
	whole, part := math.Modf(seconds)
	m.event.At = time.Unix(int64(whole), int64(math.Round(part*1e9))).UTC()
	return m, nil
}

// value adds one value of a summary, unless it is of another kind.
func (e *Event) value(b []byte) error {
	var tag string
	var value float64
	simple := false
	err := fields(b, func(f field) error {
		switch {
		case f.is(valueTag, protowire.BytesType):
			tag = string(f.bytes)
		case f.is(valueSimple, protowire.Fixed32Type):
			value, simple = float64(math.Float32frombits(uint32(f.number))), true
		}
		return nil
	})
	if err != nil || !simple {
		return err
	}
	if !utf8.ValidString(tag) {
		return errMessage
	}
	if e.Values == nil {
		e.Values = map[string]float64{}
	}
	e.Values[tag] = value
	return nil
}

// field is one field of a message: a number or bytes, by its kind.
type field struct {
	tag    protowire.Number
	kind   protowire.Type
	number uint64
	bytes  []byte
}

func (f field) is(tag protowire.Number, kind protowire.Type) bool {
	return f.tag == tag && f.kind == kind
}

// fields calls do for each field of the message b.
func fields(b []byte, do func(field) error) error {
	for len(b) > 0 {
		var f field
		var n int
		f.tag, f.kind, n = protowire.ConsumeTag(b)
		if n < 0 {
			return errMessage
		}
		b = b[n:]
		switch f.kind {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.number = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(f.tag, f.kind, b)
		}
		if n < 0 {
			return errMessage
		}
		b = b[n:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}
