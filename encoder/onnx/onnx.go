// Package onnx runs embedding models with ONNX Runtime and cuts their texts with
// the tokenizers library. It is the only importer of either.
//
// ONNX Runtime has one environment a process: the first Open makes it and the
// Close of the last open model ends it. A model's weights are loaded once;
// its Encoder may be used by many goroutines, each run on one thread.
package onnx

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/daulet/tokenizers"
	ort "github.com/yalue/onnxruntime_go"

	"github.com/trirank/trirank/encoder"
	"github.com/trirank/trirank/encoder/onnx/operators"
	"github.com/trirank/trirank/internal/onnxfile"
	"github.com/trirank/trirank/internal/regular"
)

// Options say how a model is opened. The zero value means the defaults.
type Options struct {
	// Library is the path of libonnxruntime.so. Default: $TRIRANK_ONNXRUNTIME,
	// else lib/libonnxruntime.so beside the program.
	Library string
	// Threads is how many threads one batch uses; default 1: several batches
	// of one thread beat one batch of several.
	Threads int
	// GPU, if not nil, is the GPU that runs the model.
	GPU     *GPU
	Encoder encoder.Options
}

// GPU is an NVIDIA GPU, for which ONNX Runtime needs its CUDA provider, the libraries of
// CUDA 13 and cuDNN 9. Library is then by default $TRIRANK_ONNXRUNTIME_GPU, else
// lib/gpu/libonnxruntime.so beside the program.
type GPU struct {
	Device int
}

// A GPU needs large batches to be busy, and few of them at a time.
const (
	gpuBatchTokens = 16384
	gpuBatchRows   = 512
	gpuParallel    = 2
)

// model implements encoder.Tokenizer, encoder.Network and io.Closer.
type model struct {
	tok        *tokenizers.Tokenizer
	session    *ort.DynamicAdvancedSession
	typeIDs    bool // the network wants token_type_ids
	dimension  int
	closeOnce  sync.Once
	closeError error
}

// Open loads the model directory dir after checking its files against their
// hashes. The caller closes the Encoder. Whoever opens a model to rank with it
// runs its SelfTest too.
func Open(dir string, opts Options) (*encoder.Encoder, error) {
	info, err := encoder.ReadModel(dir)
	if err != nil {
		return nil, err
	}
	if err := info.Verify(dir); err != nil {
		return nil, err
	}
	if opts.GPU != nil {
		if opts.Library == "" {
			if opts.Library, err = GPULibrary(); err != nil {
				return nil, fmt.Errorf("cannot open model %s on GPU %d: %w", dir, opts.GPU.Device, err)
			}
		}
		e := &opts.Encoder
		e.Elsewhere = true
		e.BatchTokens, e.BatchRows, e.Parallel = cmp.Or(e.BatchTokens, gpuBatchTokens), cmp.Or(e.BatchRows, gpuBatchRows), cmp.Or(e.Parallel, gpuParallel)
	}
	m, err := load(dir, info, opts)
	if err != nil {
		return nil, fmt.Errorf("cannot open model %s: %w", dir, err)
	}
	return encoder.New(info, m, m, m, opts.Encoder), nil
}

func load(dir string, info *encoder.Model, opts Options) (_ *model, err error) {
	if err := acquire(opts.Library); err != nil {
		return nil, err
	}
	m := &model{dimension: info.Dimension}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	config, err := regular.ReadFile(filepath.Join(dir, encoder.TokenizerFile), encoder.MaxTokenizer)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(config)
	if want, listed := info.SHA256[encoder.TokenizerFile]; listed && hex.EncodeToString(sum[:]) != want {
		return nil, fmt.Errorf("%s was changed while the model was being opened", encoder.TokenizerFile)
	}
	if err := checkNormalizer(config); err != nil {
		return nil, fmt.Errorf("%s: %w", encoder.TokenizerFile, err)
	}
	if config, err = withoutPadding(config); err != nil {
		return nil, fmt.Errorf("%s: %w", encoder.TokenizerFile, err)
	}
	m.tok, err = tokenizers.FromBytesWithTruncation(config, uint32(info.MaxTokens), tokenizers.TruncationDirectionRight)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", encoder.TokenizerFile, err)
	}

	network := filepath.Join(dir, encoder.NetworkFile)
	inputs, output, err := inspect(network, info.Dimension)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", encoder.NetworkFile, err)
	}
	m.typeIDs = len(inputs) == 3
	so, err := sessionOptions(opts.Threads)
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	if opts.GPU == nil && ownOperators() {
		if err := useOperators(so); err != nil {
			return nil, fmt.Errorf("cannot give ONNX Runtime the operators of quantized networks: %w", err)
		}
	}
	if opts.GPU != nil {
		if err := useGPU(so, *opts.GPU); err != nil {
			return nil, fmt.Errorf("GPU %d: %w (ONNX Runtime needs CUDA 13 and cuDNN 9 where LD_LIBRARY_PATH says)", opts.GPU.Device, err)
		}
	}
	m.session, err = newSession(network, inputs, output, so)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", encoder.NetworkFile, err)
	}
	return m, nil
}

// newSession opens a network. ONNX Runtime maps weights that lie beside it into memory,
// and would end the process if somebody cut their file off: so it gets them in memory of
// its own, unless they are more than a message may hold.
func newSession(network string, inputs []string, output string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
	n, err := onnxfile.Inspect(network)
	if err != nil {
		return nil, err
	}
	if len(n.Files) > 0 && n.Bytes <= onnxfile.MaxFile {
		b, err := onnxfile.Read(network)
		if err != nil {
			return nil, err
		}
		return ort.NewDynamicAdvancedSessionWithONNXData(b, inputs, []string{output}, so)
	}
	return ort.NewDynamicAdvancedSession(network, inputs, []string{output}, so)
}

// sessionOptions are those of every session; the caller destroys them.
func sessionOptions(threads int) (*ort.SessionOptions, error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		so.SetIntraOpNumThreads(max(threads, 1)),
		so.SetInterOpNumThreads(1),
		so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
	); err != nil {
		return nil, errors.Join(err, so.Destroy())
	}
	return so, nil
}

// ownOperators reports whether the functions of quantized networks are computed by
// operators made for them.
var ownOperators = operators.Supported

// useOperators has a session compute them so.
func useOperators(so *ort.SessionOptions) error {
	// onnxruntime_go 1.31 can register operators, but wants a later ONNX Runtime than
	// Maven's, and a library of its own for them.
	options := reflect.ValueOf(so).Elem().FieldByName("o")
	if options.Kind() != reflect.Pointer {
		return errors.New("onnxruntime_go keeps its options otherwise than known")
	}
	environment.Lock()
	defer environment.Unlock()
	return operators.Register(options.UnsafePointer(), environment.library)
}

// useGPU has a session run by the CUDA provider.
func useGPU(so *ort.SessionOptions, g GPU) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer cuda.Destroy()
	if err := cuda.Update(map[string]string{
		"device_id": strconv.Itoa(g.Device),
		// By default products are of 10 bits, which moves scores in the third digit.
		"use_tf32": "0",
		// Memory grows by what is asked for and not to the next power of two.
		"arena_extend_strategy": "kSameAsRequested",
	}); err != nil {
		return err
	}
	return so.AppendExecutionProviderCUDA(cuda)
}

// withoutPadding takes out of a tokenizer's configuration what would pad each
// text: batches are padded, and masked, by the encoder, to which further padding
// would look like words.
func withoutPadding(config []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(config, &fields); err != nil {
		return nil, err
	}
	fields["padding"] = json.RawMessage("null")
	return json.Marshal(fields)
}

// inspect finds the names by which the network takes and gives what we need.
func inspect(path string, dimension int) (inputs []string, output string, err error) {
	ins, outs, err := ort.GetInputOutputInfo(path)
	if err != nil {
		return nil, "", err
	}
	if inputs, err = inputNames(ins); err != nil {
		return nil, "", err
	}
	for _, out := range outs {
		if len(out.Dimensions) == 3 && out.DataType == ort.TensorElementDataTypeFloat && (output == "" || out.Name == "last_hidden_state") {
			if d := out.Dimensions[2]; d > 0 && d != int64(dimension) {
				return nil, "", fmt.Errorf("output %s has dimension %d, model.json says %d", out.Name, d, dimension)
			}
			output = out.Name
		}
	}
	if output == "" {
		return nil, "", errors.New("the network has no output of shape [batch, tokens, dimension] in float32")
	}
	return inputs, output, nil
}

func inputNames(ins []ort.InputOutputInfo) ([]string, error) {
	inputs := []string{"input_ids", "attention_mask"}
	for _, in := range ins {
		switch {
		case in.DataType != ort.TensorElementDataTypeInt64:
			return nil, fmt.Errorf("input %s is of type %s (int64 expected)", in.Name, in.DataType)
		case in.Name == "token_type_ids":
			inputs = append(inputs, in.Name)
		case !slices.Contains(inputs, in.Name):
			return nil, fmt.Errorf("input %s is none of input_ids, attention_mask, token_type_ids", in.Name)
		}
	}
	if len(ins) != len(inputs) {
		return nil, fmt.Errorf("the network has %d inputs; input_ids and attention_mask are needed, token_type_ids may be", len(ins))
	}
	return inputs, nil
}

// Close frees the model; closing twice is harmless.
func (m *model) Close() error {
	m.closeOnce.Do(func() {
		if m.session != nil {
			m.closeError = m.session.Destroy()
		}
		if m.tok != nil {
			m.closeError = errors.Join(m.closeError, m.tok.Close())
		}
		m.closeError = errors.Join(m.closeError, release())
	})
	return m.closeError
}

// Tokenize implements encoder.Tokenizer.
func (m *model) Tokenize(text string) ([]uint32, error) {
	e := m.tok.EncodeWithOptions(text, true)
	if len(e.IDs) == 0 {
		return nil, errors.New("the tokenizer failed")
	}
	return e.IDs, nil
}

// Run implements encoder.Network.
func (m *model) Run(rows, cols int, ids, mask []int64, hidden []float32) error {
	in, err := tensors(rows, cols, ids, mask, m.typeIDs)
	defer destroy(in)
	if err != nil {
		return err
	}
	out, err := ort.NewTensor(ort.NewShape(int64(rows), int64(cols), int64(m.dimension)), hidden)
	if err != nil {
		return err
	}
	defer out.Destroy()
	return m.session.Run(in, []ort.Value{out})
}

// tensors are the inputs of a network; the caller destroys them, also after an error.
func tensors(rows, cols int, ids, mask []int64, typeIDs bool) (in []ort.Value, err error) {
	data := [][]int64{ids, mask}
	if typeIDs {
		data = append(data, make([]int64, rows*cols))
	}
	for _, d := range data {
		t, err := ort.NewTensor(ort.NewShape(int64(rows), int64(cols)), d)
		if err != nil {
			return in, err
		}
		in = append(in, t)
	}
	return in, nil
}

func destroy(values []ort.Value) {
	for _, v := range values {
		if v != nil {
			v.Destroy()
		}
	}
}
