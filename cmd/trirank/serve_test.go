package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestLogLevel(t *testing.T) {
	for level, lines := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		for _, format := range []string{"text", "json"} {
			var b bytes.Buffer
			l, err := newLogger(&b, format, level)
			if err != nil {
				t.Fatal(err)
			}
			l.Debug("a")
			l.Info("b")
			l.Warn("c")
			l.Error("d")
			if n := strings.Count(b.String(), "\n"); n != lines {
				t.Errorf("--log-level %s --log-format %s lets %d lines of 4 through, not %d", level, format, n, lines)
			}
		}
	}
}
