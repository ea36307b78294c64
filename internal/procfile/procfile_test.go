package procfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(path, []byte("Name:\ttrirank\nmodel name\t: A: processor\nVmHWM:\t  123456 kB\nVmHWM: 1 kB\nnothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"Name": "trirank", "model name": "A: processor", "VmHWM": "123456 kB", "VmRSS": "", "nothing": ""} {
		if got := Value(path, key); got != want {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	if got := Kilobytes(path, "VmHWM"); got != 123456 {
		t.Errorf("%v kB", got)
	}
	if Value(path+".none", "Name") != "" || Kilobytes(path, "Name") != 0 || Kilobytes(path+".none", "VmHWM") != 0 {
		t.Error("there is something where nothing is")
	}
}
