package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// notRun are the beginnings of the README's commands that its test only parses, and why.
var notRun = map[string]string{
	"train":                         "it takes minutes; train.txtar runs it on less",
	"serve":                         "it does not end; its answers are asked for by the lines with curl",
	"embed":                         "it encodes the sample once more; embed.txtar runs it",
	"bench":                         "it measures for tens of seconds; bench.txtar runs it for milliseconds",
	"index":                         "the test's index is made by it",
	"import":                        "the files are the reader's own; import.txtar runs it",
	"model":                         "external.txtar and quantize.txtar run it",
	"eval --j":                      "the files are the reader's own; eval.txtar runs it",
	"eval --index shop.index --add": "the labels are the reader's own; evaljudged.txtar runs it",
}

// TestReadme checks the README on the shop that its first command makes: every command
// line parses, those that can be run do, and what it quotes is what they print.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	index := finetunedIndex(t)
	log := filepath.Join(root, "log.csv")
	if err := os.WriteFile(log, []byte("id,query\n1,wireless mouse\n2,claw hammer\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Each command writes where the README says, and reads what those before it wrote.
	replace := strings.NewReplacer("shop.index", index, "--catalog shop", "--catalog sample", "--out ", "--out "+root+"/",
		"ratings.csv", "../../catalog/sample/judgments.csv", "log.csv", log,
		"eval diff report report-after", "eval diff "+filepath.Join(root, "report")+" "+filepath.Join(root, "report-after"))
	var printed string // by the last command that was run
	ran, quoted := 0, 0
	for line := range strings.Lines(string(b)) {
		text, isCode := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		command, isCommand := strings.CutPrefix(text, "bin/trirank ")
		switch {
		case !isCode, strings.HasPrefix(text, "make "), strings.HasPrefix(text, "curl "):
		case isCommand:
			args := words(t, replace.Replace(command))
			parse(t, args)
			if reason(command) != "" {
				continue
			}
			var out, errs bytes.Buffer
			if code := run(args, &out, &errs); code != 0 {
				t.Errorf("%s: ends with %d: %s", text, code, errs.String())
			}
			printed = oneLine(out.String())
			ran++
			// The query that a reader tries first shows labels.
			if strings.HasPrefix(command, "search") && !regexp.MustCompile(` \d+ [ESCI] `).MatchString(printed) {
				t.Errorf("%s: no hit has a label: %s", text, printed)
			}
		default:
			quoted++
			if !strings.Contains(printed, oneLine(text)) {
				t.Errorf("the README quotes %q, and the program prints %.600s", text, printed)
			}
		}
	}
	if ran < 4 || quoted < 3 {
		t.Errorf("%d commands were run and %d lines compared: has the README another form?", ran, quoted)
	}
	asks(t, string(b), index)
}

// asks sends the requests that the README has for curl.
func asks(t *testing.T, readme, index string) {
	url, stop := serve(t, index)
	defer stop()
	asked := 0
	for _, m := range regexp.MustCompile(`curl '127\.0\.0\.1:8080(/[^']*)'`).FindAllStringSubmatch(readme, -1) {
		resp, err := http.Get(url + m[1])
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !json.Valid(body) {
			t.Errorf("%s: %s %.300s, %v", m[1], resp.Status, body, err)
		}
		if !regexp.MustCompile(`"label":"[^"u]`).Match(body) { // as "unjudged" begins
			t.Errorf("%s: no hit is judged: %.300s", m[1], body)
		}
		asked++
	}
	if asked < 2 {
		t.Errorf("%d requests were found", asked)
	}
}

// reason says why a command is not run.
func reason(command string) string {
	for prefix, why := range notRun {
		if strings.HasPrefix(command, prefix) {
			return why
		}
	}
	return ""
}

// parse checks that there is such a command and that it has these flags.
func parse(t *testing.T, args []string) {
	c, rest, err := newRootCommand().Find(args)
	if err == nil {
		c.SetContext(context.Background())
		err = c.ParseFlags(rest)
	}
	if err != nil || !c.HasParent() {
		t.Errorf("%q: %v", args, err)
	}
}

// words cuts a command line as a shell does, without its comment.
func words(t *testing.T, line string) (out []string) {
	for _, m := range regexp.MustCompile(`#.*|"([^"]*)"|'([^']*)'|\S+`).FindAllStringSubmatch(line, -1) {
		switch {
		case strings.HasPrefix(m[0], "#"):
			return out
		case m[0][0] == '"' || m[0][0] == '\'':
			out = append(out, m[1]+m[2])
		default:
			out = append(out, m[0])
		}
	}
	return out
}

// oneLine undoes how a text was wrapped.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
