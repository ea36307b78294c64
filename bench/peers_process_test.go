package bench_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trirank/trirank/internal/procfile"
)

// What Linux says of processes; zeros elsewhere.

// tree returns the process and those that it started, and they in turn.
func tree(process int) []int {
	parents := map[int]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if fields := processFields(id); len(fields) > 1 {
			parents[id], _ = strconv.Atoi(fields[1])
		}
	}
	out := []int{process}
	for i := 0; i < len(out); i++ {
		for id, parent := range parents {
			if parent == out[i] {
				out = append(out, id)
			}
		}
	}
	return out
}

// processFields returns what /proc says of a process from its state on.
func processFields(id int) []string {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(id), "stat"))
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // its name may have blanks
}

// ticks sums numbers that count hundredths of a second.
func ticks(fields []string) (sum float64) {
	for _, f := range fields {
		v, _ := strconv.ParseFloat(f, 64)
		sum += v
	}
	return sum / 100
}

// processorTime returns how many seconds processors have worked, for anyone, and how
// many of these for this process and those that it started.
func processorTime() (all, own float64) {
	// user, nice, system, idle, iowait, irq, softirq, steal
	if f := strings.Fields(firstLine("/proc/stat")); len(f) > 8 {
		all = ticks(f[1:4]) + ticks(f[6:9])
	}
	for _, id := range tree(os.Getpid()) {
		if f := processFields(id); len(f) > 14 {
			own += ticks(f[11:15]) // with that of children that have ended
		}
	}
	return all, own
}

// peakMemory returns the most memory, in MB, that a process and those that it started
// have had, each at its own time.
func peakMemory(process int) (sum float64) {
	for _, id := range tree(process) {
		sum += procfile.Kilobytes(filepath.Join("/proc", strconv.Itoa(id), "status"), "VmHWM") / 1000
	}
	return sum
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
