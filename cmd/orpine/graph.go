package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
	"github.com/orpine-run/orpine/workflow/picture"
)

// graphForm is how a workflow is drawn; "" = not at all. The flag needs no value.
type graphForm string

// graphForms lists the forms; the first one is that of the flag alone.
func graphForms() []string { return []string{"text", "ascii", "mermaid", "svg"} }

// IsBool says that the flag stands alone, unless a value is joined to it by =.
func (graphForm) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (g *graphForm) Decode(ctx *kong.DecodeContext) error {
	*g = graphForm(graphForms()[0])
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	form := ctx.Scan.Pop().String()
	if !slices.Contains(graphForms(), form) {
		return fmt.Errorf("there is no form %q; there is %s", form, strings.Join(graphForms(), ", "))
	}
	*g = graphForm(form)
	return nil
}

// graph draws the workflow of a run, or one of a file that has not run.
func (a *app) graph(ctx context.Context, ref string, form graphForm) error {
	view, err := a.viewOf(ctx, ref)
	if err != nil {
		return err
	}
	if a.programs() {
		return a.print(listing{single: true, names: nodeNames(view), values: []any{view}})
	}
	view = written(view)
	text := ""
	switch form {
	case "mermaid":
		text = picture.Mermaid(view)
	case "svg":
		text = picture.SVG(view)
	default:
		text = picture.Text(view, picture.Options{Width: a.width(), Color: a.colors(a.stdout), ASCII: form == "ascii", Zone: time.Local})
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}

// viewOf is what there is to draw of a run, or of a file.
func (a *app) viewOf(ctx context.Context, ref string) (workflow.View, error) {
	path, _, named := strings.Cut(ref, "#")
	if info, err := os.Stat(path); named || err == nil && info.Mode().IsRegular() {
		w, err := a.work(ref, "")
		if err != nil {
			return workflow.View{}, err
		}
		if w.flow == nil {
			return workflow.View{}, durable.Errorf(durable.CodeInvalid, "%s is an agent, which has no graph; name a workflow", ref)
		}
		return workflow.Draw(w.flow)
	}
	r, id, err := a.read(ctx, ref)
	if err != nil {
		return workflow.View{}, err
	}
	flow, err := a.flowOf(ctx, r, id)
	return flow.view, closing(err, r)
}

func nodeNames(v workflow.View) []string {
	var names []string
	for _, n := range v.Nodes {
		names = append(names, n.ID)
	}
	return names
}

// plainWidth is how wide a picture is where nobody says how wide it may be.
const plainWidth = 100

// width is how many columns there are on standard output.
func (a *app) width() int {
	if n, err := strconv.Atoi(a.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if n := columns(a.stdout); n > 0 {
		return n
	}
	return plainWidth
}
