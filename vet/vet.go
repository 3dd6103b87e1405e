package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// durablePath is the package whose Context makes a function a program.
const durablePath = "github.com/orpine-run/orpine/durable"

// New makes the analyzer.
func New() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "orpine",
		Doc:  "finds what a program of the orpine runtime may not do because a replay would not repeat it",
		Run:  run,
	}
}

func run(pass *analysis.Pass) (any, error) {
	if !imports(pass.Pkg) || isEngine(pass.Pkg) {
		return nil, nil //nolint:nilnil // what the analysis package asks for
	}
	c := &checker{
		pass: pass, bodies: map[*types.Func]*ast.FuncDecl{}, done: map[ast.Node]bool{}, comments: map[line]comment{},
	}
	for _, file := range pass.Files {
		c.readComments(file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && !c.allowedWhole(f) {
				if object, ok := pass.TypesInfo.Defs[f.Name].(*types.Func); ok {
					c.bodies[object] = f
				}
			}
		}
	}
	for _, file := range pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			c.root(n)
			return true
		})
	}
	return nil, nil //nolint:nilnil // what the analysis package asks for
}

// imports reports whether a package can have programs.
func imports(p *types.Package) bool {
	if p.Path() == durablePath {
		return true // its helpers run in programs
	}
	for _, i := range p.Imports() {
		if i.Path() == durablePath {
			return true
		}
	}
	return false
}

// isEngine reports whether a package has a type with a Step method of its own that implements
// durable.Context.
func isEngine(p *types.Package) bool {
	for _, i := range p.Imports() {
		if i.Path() != durablePath {
			continue
		}
		object := i.Scope().Lookup("Context")
		if object == nil {
			return false
		}
		context, ok := object.Type().Underlying().(*types.Interface)
		if !ok {
			return false
		}
		for _, name := range p.Scope().Names() {
			t, ok := p.Scope().Lookup(name).(*types.TypeName)
			if !ok || types.IsInterface(t.Type()) {
				continue
			}
			step, index, _ := types.LookupFieldOrMethod(t.Type(), true, p, "Step")
			if _, method := step.(*types.Func); method && len(index) == 1 && types.Implements(types.NewPointer(t.Type()), context) {
				return true
			}
		}
	}
	return false
}

// checker looks at one package.
type checker struct {
	pass     *analysis.Pass
	bodies   map[*types.Func]*ast.FuncDecl // of this package
	done     map[ast.Node]bool             // functions that were looked at
	comments map[line]comment
}

// root looks at a function that is a program.
func (c *checker) root(n ast.Node) {
	switch f := n.(type) {
	case *ast.FuncDecl:
		if f.Body != nil && !c.allowedWhole(f) && c.takes(c.pass.TypesInfo.TypeOf(f.Name), durablePath) {
			c.visit(f, f.Body, "")
		}
	case *ast.FuncLit:
		if c.takes(c.pass.TypesInfo.TypeOf(f), durablePath) {
			c.visit(f, f.Body, "")
		}
	}
}

// takes reports whether a function takes a Context of that package.
func (c *checker) takes(t types.Type, path string) bool {
	signature, ok := t.(*types.Signature)
	if !ok {
		return false
	}
	for v := range signature.Params().Variables() {
		if isContext(v.Type(), path) {
			return true
		}
	}
	return false
}

func isContext(t types.Type, path string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Name() == "Context" && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == path
}

// visit looks at a function that runs in a program; by says through which other one, "" if it
// is the program itself.
func (c *checker) visit(f ast.Node, body *ast.BlockStmt, by string) {
	if c.done[f] {
		return
	}
	c.done[f] = true
	v := &visitor{checker: c, body: body, by: by}
	ast.PreorderStack(body, nil, v.node)
}

// visitor goes through one function.
type visitor struct {
	*checker
	body *ast.BlockStmt
	by   string
}

// node looks at one node and reports whether to go into it.
func (v *visitor) node(n ast.Node, above []ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		if v.takes(v.pass.TypesInfo.TypeOf(n), "context") {
			return false // a step function
		}
		v.done[n] = true // it is looked at here, where it is known what it belongs to
	case *ast.Ident:
		v.use(n, n, above)
	case *ast.GoStmt:
		v.report(n, "a goroutine runs in no order that a replay repeats: use ctx.Go, durable.Go or durable.Each")
	case *ast.SendStmt:
		v.report(n, "a send on a channel is not recorded: use futures and signals")
	case *ast.SelectStmt:
		v.report(n, "select is not recorded: use ctx.Select")
		return false // its cases are the same once more
	case *ast.UnaryExpr:
		v.receive(n)
	case *ast.RangeStmt:
		v.ranges(n)
	case *ast.CallExpr:
		v.builtin(n)
	case *ast.AssignStmt:
		v.keeps(n)
	}
	return true
}

// use looks at a name that is used: of something forbidden, or of a function that runs here too.
func (v *visitor) use(id *ast.Ident, at ast.Node, above []ast.Node) {
	object := v.pass.TypesInfo.Uses[id]
	if object == nil || object.Pkg() == nil {
		return
	}
	f, isFunc := object.(*types.Func)
	if isFunc && object.Pkg() == v.pass.Pkg {
		f = f.Origin()
		if d := v.bodies[f]; d != nil && !v.takes(f.Type(), "context") && !v.takes(f.Type(), durablePath) {
			v.visit(d, d.Body, f.Name())
		}
		return
	}
	if why := v.forbidden(object, above); why != "" {
		v.report(at, "%s %s", name(object), why)
	}
}

// name is an object as a program names it: time.Now, os.File.Read.
func name(object types.Object) string {
	text := object.Pkg().Name() + "." + object.Name()
	if f, ok := object.(*types.Func); ok {
		if t := receiver(f); t != nil {
			text = object.Pkg().Name() + "." + t.Obj().Name() + "." + object.Name()
		}
	}
	return text
}

// receiver is the type that a method belongs to, nil for a function.
func receiver(f *types.Func) *types.Named {
	signature, ok := f.Type().(*types.Signature)
	if !ok || signature.Recv() == nil {
		return nil
	}
	t := types.Unalias(signature.Recv().Type())
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	named, ok := t.(*types.Named)
	if !ok {
		return nil
	}
	return named
}

// keeps finds a Context that is put where it outlives its coroutine.
func (v *visitor) keeps(n *ast.AssignStmt) {
	for i, left := range n.Lhs {
		if i >= len(n.Rhs) || !isContext(v.pass.TypesInfo.TypeOf(n.Rhs[i]), durablePath) {
			continue
		}
		if root := v.variable(left); root != nil && root.Parent() == v.pass.Pkg.Scope() {
			v.report(n, "a Context must not be kept past its end, and package variable %s keeps it: hand it on as a parameter", root.Name())
		}
	}
}

// variable is the variable that holds what an expression names.
func (v *visitor) variable(e ast.Expr) *types.Var {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.Ident:
			found, _ := v.pass.TypesInfo.ObjectOf(x).(*types.Var) // nil is an answer
			return found
		default:
			return nil
		}
	}
}

// report reports a finding, unless a comment allows it.
func (v *visitor) report(n ast.Node, format string, args ...any) {
	if v.allowed(n, allow) {
		return
	}
	if v.by != "" {
		format += " (%s is called by a program)"
		args = append(args, v.by)
	}
	v.pass.ReportRangef(n, format, args...)
}
