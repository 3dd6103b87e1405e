package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// ranges finds loops whose order is another each time.
func (v *visitor) ranges(n *ast.RangeStmt) {
	switch v.pass.TypesInfo.TypeOf(n.X).Underlying().(type) {
	case *types.Chan:
		v.report(n, "a receive from a channel is not recorded: use futures and signals")
	case *types.Map:
		if n.Key == nil || v.allowed(n, ordered) || v.orderless(n, n.Body.List) {
			return
		}
		v.report(n, "the order of a map is another each time: range over its sorted keys, or say //orpine:ordered where it does not matter")
	}
}

// orderless reports whether a loop comes to the same in any order: what it collects is sorted behind
// it, and what it stores goes under the key.
func (v *visitor) orderless(loop *ast.RangeStmt, list []ast.Stmt) bool {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if !v.orderlessAssign(loop, s) {
				return false
			}
		case *ast.IncDecStmt:
		case *ast.BranchStmt:
			if s.Tok != token.CONTINUE {
				return false
			}
		case *ast.IfStmt:
			if s.Init != nil || s.Else != nil || calls(s.Cond) || !v.orderless(loop, s.Body.List) {
				return false
			}
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); !ok || !v.isBuiltin(call, "delete") || len(call.Args) != 2 || calls(call.Args[1]) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (v *visitor) orderlessAssign(loop *ast.RangeStmt, s *ast.AssignStmt) bool {
	if len(s.Lhs) != 1 || len(s.Rhs) != 1 {
		return false
	}
	if index, ok := s.Lhs[0].(*ast.IndexExpr); ok {
		_, intoMap := v.pass.TypesInfo.TypeOf(index.X).Underlying().(*types.Map)
		return intoMap && v.same(index.Index, loop.Key) && !calls(s.Rhs[0])
	}
	if s.Tok == token.ADD_ASSIGN { // of whole numbers; others come to something else in another order
		b, ok := v.pass.TypesInfo.TypeOf(s.Lhs[0]).Underlying().(*types.Basic)
		return ok && b.Info()&types.IsInteger != 0 && !calls(s.Rhs[0])
	}
	call, ok := s.Rhs[0].(*ast.CallExpr)
	if !ok || !v.isBuiltin(call, "append") || !v.same(s.Lhs[0], call.Args[0]) || slices.ContainsFunc(call.Args[1:], calls) {
		return false
	}
	return v.sortedBehind(loop, s.Lhs[0])
}

// same reports whether two expressions are the same variable.
func (v *visitor) same(a, b ast.Expr) bool {
	x, ok1 := a.(*ast.Ident)
	y, ok2 := b.(*ast.Ident)
	return ok1 && ok2 && v.pass.TypesInfo.ObjectOf(x) != nil && v.pass.TypesInfo.ObjectOf(x) == v.pass.TypesInfo.ObjectOf(y)
}

func (v *visitor) isBuiltin(call *ast.CallExpr, name string) bool {
	id, ok := call.Fun.(*ast.Ident)
	if !ok {
		return false
	}
	b, ok := v.pass.TypesInfo.Uses[id].(*types.Builtin)
	return ok && b.Name() == name
}

// calls reports whether an expression calls anything.
func calls(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		_, call := n.(*ast.CallExpr)
		found = found || call
		return !found
	})
	return found
}

// sortedBehind reports whether a slice is sorted in this function, behind a loop.
func (v *visitor) sortedBehind(loop *ast.RangeStmt, list ast.Expr) bool {
	found := false
	ast.Inspect(v.body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Pos() < loop.End() || len(call.Args) == 0 || !v.same(call.Args[0], list) {
			return !found
		}
		found = found || sorts(v.pass.TypesInfo, call)
		return !found
	})
	return found
}

// sorts reports whether a call is one of a function that sorts.
func sorts(info *types.Info, call *ast.CallExpr) bool {
	fun := ast.Unparen(call.Fun)
	if x, ok := fun.(*ast.IndexExpr); ok {
		fun = x.X
	}
	s, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	f, ok := info.Uses[s.Sel].(*types.Func)
	if !ok || f.Pkg() == nil {
		return false
	}
	switch f.Pkg().Path() {
	case "slices":
		return strings.HasPrefix(f.Name(), "Sort") // Sort, SortFunc, Sorted, SortedFunc and so on
	case "sort":
		return slices.Contains([]string{"Sort", "Stable", "Slice", "SliceStable", "Strings", "Ints", "Float64s"}, f.Name())
	}
	return false
}

// unsorted judges an iterator over a map: what sorts it, or makes a map of it, may have it.
func unsorted(info *types.Info, name string, above []ast.Node) string {
	if name != "Keys" && name != "Values" && name != "All" {
		return ""
	}
	calls := 0
	for _, outer := range slices.Backward(above) {
		switch n := outer.(type) {
		case *ast.SelectorExpr, *ast.IndexExpr, *ast.ParenExpr:
		case *ast.CallExpr:
			if calls++; calls == 1 {
				continue // its own
			}
			if sorts(info, n) || collects(info, n) {
				return ""
			}
			return ofOrder
		default:
			return ofOrder
		}
	}
	return ofOrder
}

// collects reports whether a call puts what it is given into a map again.
func collects(info *types.Info, call *ast.CallExpr) bool {
	s, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	f, ok := info.Uses[s.Sel].(*types.Func)
	return ok && f.Pkg() != nil && f.Pkg().Path() == "maps" && (f.Name() == "Collect" || f.Name() == "Insert")
}
