package vet

import (
	"go/ast"
	"strings"
)

// comment is an order to the analyzer in the source.
type comment int

// The comments.
const (
	ordered comment = iota + 1 // the order of a map does not matter here
	allow                      // this is right, and why
)

// line is a line of a file.
type line struct {
	file string
	at   int
}

// readComments reads the orders in a file. One that is none is a finding: a comment with a mistake in it
// would be read by nobody.
func (c *checker) readComments(file *ast.File) {
	for _, group := range file.Comments {
		for _, one := range group.List {
			text, ok := strings.CutPrefix(one.Text, "//orpine:")
			if !ok {
				continue
			}
			at := c.pass.Fset.Position(one.Pos())
			word, reason, _ := strings.Cut(text, " ")
			switch {
			case word == "ordered":
				c.comments[line{at.Filename, at.Line}] = ordered
			case word == "allow" && strings.TrimSpace(reason) != "":
				c.comments[line{at.Filename, at.Line}] = allow
			case word == "allow":
				c.pass.Reportf(one.Pos(), "//orpine:allow needs a reason behind it")
			default:
				c.pass.Reportf(one.Pos(), "//orpine:%s is not known; there are //orpine:ordered and //orpine:allow REASON", word)
			}
		}
	}
}

// allowed reports whether a comment stands on the line of a node, or on the line above.
func (c *checker) allowed(n ast.Node, want comment) bool {
	at := c.pass.Fset.Position(n.Pos())
	return c.comments[line{at.Filename, at.Line}] == want || c.comments[line{at.Filename, at.Line - 1}] == want
}

// allowedWhole reports whether the doc comment of a function allows what is in it.
func (c *checker) allowedWhole(f *ast.FuncDecl) bool {
	if f.Doc == nil {
		return false
	}
	for _, one := range f.Doc.List {
		at := c.pass.Fset.Position(one.Pos())
		if c.comments[line{at.Filename, at.Line}] == allow {
			return true
		}
	}
	return false
}
