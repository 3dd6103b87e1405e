package picture_test

import (
	"fmt"

	"github.com/orpine-run/orpine/workflow"
	"github.com/orpine-run/orpine/workflow/picture"
)

// A definition is drawn before it has run; the view of a run is drawn in the same way.
func Example() {
	view, err := workflow.Draw(&workflow.Definition{Name: "report", Body: workflow.Body{Nodes: []workflow.Node{
		{ID: "bill", Tool: "sql"},
		{ID: "logs", Tool: "http"},
		{ID: "write", Tool: "files", Needs: []string{"bill", "logs"}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(picture.Text(view, picture.Options{ASCII: true}))
	// Output:
	// +----------+  +-----------+
	// | o bill   |  | o logs    |
	// | tool sql |  | tool http |
	// +-----+----+  +-----+-----+
	//       +------+------+
	//              v
	//       +------------+
	//       | o write    |
	//       | tool files |
	//       +------------+
}
