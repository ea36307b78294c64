// Package procfile reads what Linux tells of itself and of processes in files of
// lines such as "VmHWM:  1234 kB".
package procfile

import (
	"os"
	"strconv"
	"strings"
)

// Value returns the value of a key, the first one; empty where the file or the key is
// not there, as on other systems.
func Value(path, key string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Kilobytes returns a value that is given in kB; 0 where there is none.
func Kilobytes(path, key string) float64 {
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(Value(path, key), " kB"), 64)
	return kb
}
