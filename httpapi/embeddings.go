package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
)

// embeddingRequest is the body of POST /v1/embeddings: that of OpenAI's API, with
// an input_type, for E5 treats queries and passages differently.
type embeddingRequest struct {
	Input          json.RawMessage `json:"input"`           // a text or several
	Model          string          `json:"model,omitempty"` // a system's name; empty: the first that has a model
	InputType      string          `json:"input_type,omitempty"`
	EncodingFormat string          `json:"encoding_format,omitempty"`
	Dimensions     int             `json:"dimensions,omitempty"`
	User           string          `json:"user,omitempty"` // ignored
}

// embeddingResponse answers it. OpenAI's "usage" is left out: the engine does not
// tell how many tokens it read, and a guess would be wrong.
type embeddingResponse struct {
	Object string      `json:"object"` // "list"
	Data   []embedding `json:"data"`
	Model  string      `json:"model"`
}

type embedding struct {
	Object    string `json:"object"` // "embedding"
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // []float32, or their bytes in base64
}

func (s *Server) readEmbeddings(r *request) (job, error) {
	var req embeddingRequest
	if err := r.readJSON(&req); err != nil {
		return nil, err
	}
	texts, more, err := inputTexts(req.Input, s.options.MaxInputs)
	if err != nil {
		return nil, err
	}
	if more {
		return nil, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("input has more than %d texts (to admit more, raise --max-inputs)", s.options.MaxInputs))
	}
	if req.InputType == "" {
		req.InputType = "query"
	}
	if req.InputType != "query" && req.InputType != "passage" {
		return nil, badRequest(`input_type is %.40q, neither "query" nor "passage"`, req.InputType)
	}
	switch req.EncodingFormat {
	case "", "float", "base64":
	default:
		return nil, badRequest(`encoding_format is %.40q, neither "float" nor "base64"`, req.EncodingFormat)
	}
	r.slow, r.cost = true, len(texts)*vectorCost
	return func(ctx context.Context, e Engine) (any, error) {
		vectors, by, err := e.Embed(ctx, req.Model, texts, req.InputType == "query")
		if err != nil {
			return nil, err
		}
		out := &embeddingResponse{Object: "list", Data: make([]embedding, len(vectors)), Model: by}
		for i, v := range vectors {
			if req.Dimensions != 0 && req.Dimensions != len(v) {
				return nil, badRequest("dimensions is %d, but the model has %d", req.Dimensions, len(v))
			}
			out.Data[i] = embedding{Object: "embedding", Index: i, Embedding: v}
			if req.EncodingFormat == "base64" {
				out.Data[i].Embedding = littleEndian(v)
			}
		}
		return out, nil
	}, nil
}

// vectorCost is about how much memory a vector takes, in JSON too.
const vectorCost = 16 << 10

// inputTexts reads a text or a list of texts, of which it returns at most so many, and
// whether there are more.
func inputTexts(input json.RawMessage, most int) (texts []string, more bool, err error) {
	var one string
	if json.Unmarshal(input, &one) == nil && string(input) != "null" {
		texts = []string{one}
	} else {
		list := bounded[string]{most: most}
		if json.Unmarshal(input, &list) != nil || len(list.items) == 0 {
			return nil, false, badRequest("input must be a text or a list of texts (lists of tokens are not taken)")
		}
		texts, more = list.items, list.more
	}
	for i, t := range texts {
		if strings.TrimSpace(t) == "" {
			return nil, false, badRequest("text %d of input is empty", i)
		}
	}
	return texts, more, nil
}

// littleEndian writes floats as OpenAI's clients read them.
func littleEndian(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}
