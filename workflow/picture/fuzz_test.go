package picture_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
	"github.com/orpine-run/orpine/workflow/picture"
)

// mermaidLine is every line that Mermaid writes: in a label stands nothing that could end it.
var mermaidLine = regexp.MustCompile(`^(flowchart TD` +
	`| +n\d+(\["([^"<>\x60\[\](){}|\\]|<br/>)*"\]|\{"([^"<>\x60\[\](){}|\\]|<br/>)*"\}|\(\["([^"<>\x60\[\](){}|\\]|<br/>)*"\]\))` +
	`| +subgraph n\d+\["([^"<>\x60\[\](){}|\\]|<br/>)*"\]| +end| +n\d+ (-->|-\.->) n\d+| +class(Def)? [a-z0-9,# :_-]+)$`)

// FuzzLabels: whatever names and errors hold, the SVG is XML of which nothing is markup that should be
// text, every line of the flowchart is one that is meant, and a text has no control characters.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{
		"plain", `say "hi"`, "end", "a\nb\r\nc", "<script>alert(1)</script>", "]] --> n1", "`md`", "#quot;", "日本語", "e\u0301", "\x00\x1b[31m", "\xff\xfe", "&amp;", "]]>", "%%{init}%%", "\u202eevil", "a|b", "\ufffe", "::: class", "\u2028x", "😀",
	} {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, id, about, message string) {
		v := workflow.View{Workflow: about, Nodes: []workflow.NodeView{
			{ID: "loop", Verb: workflow.VerbLoop, About: about},
			{ID: "x" + id, In: "loop", Verb: workflow.VerbHuman, About: about},
			{ID: id, Verb: about, About: message, Needs: []string{"loop"}, Description: message, Mark: workflow.Mark{Status: workflow.Status(message), Error: &durable.Failure{Message: message}}},
			{ID: about, Verb: workflow.VerbSwitch, Gotos: []string{id}},
		}}
		read(t, picture.SVG(v))
		for line := range strings.Lines(picture.Mermaid(v)) {
			if !mermaidLine.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("an odd line of Mermaid: %q", line)
			}
		}
		for _, width := range []int{0, 30} {
			text := picture.Text(v, picture.Options{Width: width})
			if at := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 127 || r >= 0x80 && r < 0xa0 }); at >= 0 {
				t.Errorf("a control character at %d of %q", at, text)
			}
		}
	})
}
