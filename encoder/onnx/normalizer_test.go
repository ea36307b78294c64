package onnx

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheckNormalizer(t *testing.T) {
	replace := func(pattern, content string) string {
		return fmt.Sprintf(`{"type": "Replace", "pattern": %s, "content": %q}`, pattern, content)
	}
	sequence := func(each string, n int) string {
		return `{"type": "Sequence", "normalizers": [` + strings.TrimSuffix(strings.Repeat(each+",", n), ",") + `]}`
	}
	double := replace(`{"String": "a"}`, "aa")
	for config, good := range map[string]bool{
		`null`: true,
		`{"type": "BertNormalizer", "clean_text": true}`: true,
		// XLM-R's, and SentencePiece's as Llama's tokenizer has it.
		`{"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AA=="}, ` + replace(`{"Regex": " {2,}"}`, "▁") + `]}`: true,
		`{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, ` + replace(`{"String": " "}`, "▁") + `]}`:                        true,
		replace(`{"Regex": "[0-9]+|x"}`, "00"): true,
		double:                                 true,
		sequence(double, 6):                    true,
		sequence(double, 7):                    false,
		sequence(sequence(double, 4), 8):       false,
		replace(`{"Regex": "x?"}`, strings.Repeat("y", 64)):       false,
		replace(`{"Regex": "(?=x)"}`, strings.Repeat("y", 64)):    false, // not Go's syntax
		replace(`{"Regex": "(xy){3}"}`, strings.Repeat("y", 300)): true,
		replace(`{"String": ""}`, strings.Repeat("y", 64)):        false,
		sequence(`{"type": "Prepend", "prepend": "abcdefgh"}`, 3): false,
	} {
		err := checkNormalizer([]byte(`{"normalizer": ` + config + `}`))
		if (err == nil) != good {
			t.Errorf("%s: %v", config, err)
		}
	}
	if err := checkNormalizer([]byte(`{`)); err == nil {
		t.Error("no JSON, and no error")
	}
}
