package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Why something is forbidden, and what to do instead.
const (
	ofTime    = "tells another time on replay: use durable.Now and durable.Sleep"
	ofChance  = "gives another value on replay: draw it in a step, or from a generator with a recorded seed"
	ofOutside = "reaches the world outside of the program, on each replay again: do it in a step"
	ofOutput  = "writes on each replay again: do it in a step, or let a step function log"
	ofSync    = "waits for something that is not recorded: a program has one thread and shares nothing"
	ofContext = "is for what does I/O, and that belongs into a step"
	ofOrder   = "has another order each time: sort it, as slices.Sorted does"
)

// forbidden says why a program may not use an object of another package, "" if it may.
func (v *visitor) forbidden(object types.Object, above []ast.Node) string {
	f, isFunc := object.(*types.Func)
	if !isFunc {
		return forbiddenVariable(object)
	}
	if t := receiver(f); t != nil {
		return forbiddenMethod(f.Pkg().Path(), t.Obj().Name(), f.Name())
	}
	switch path, name := f.Pkg().Path(), f.Name(); path {
	case "io":
		return v.copies(name, above)
	case "maps":
		return unsorted(v.pass.TypesInfo, name, above)
	default:
		return forbiddenFunc(path, name)
	}
}

func forbiddenVariable(object types.Object) string {
	if _, ok := object.(*types.Var); !ok {
		return ""
	}
	switch object.Pkg().Path() + "." + object.Name() {
	case "os.Args", "os.Stdin", "os.Stdout", "os.Stderr", "net/http.DefaultClient", "net/http.DefaultTransport", "net.DefaultResolver":
		return ofOutside
	case "crypto/rand.Reader":
		return ofChance
	}
	return ""
}

// forbiddenMethod judges a method by its type.
func forbiddenMethod(path, receiver, name string) string {
	switch path {
	case "os", "os/exec", "database/sql", "net/rpc", "net/smtp":
		return ofOutside
	case "net":
		if slices.Contains([]string{"Conn", "TCPConn", "UDPConn", "UnixConn", "IPConn", "Listener", "TCPListener", "UnixListener", "Dialer", "Resolver", "PacketConn", "ListenConfig"}, receiver) {
			return ofOutside
		}
	case "net/http":
		if slices.Contains([]string{"Client", "Transport", "Server", "RoundTripper"}, receiver) {
			return ofOutside
		}
	case "log", "log/slog":
		if receiver == "Logger" && !slices.Contains([]string{"With", "WithGroup", "Handler", "Enabled"}, name) {
			return ofOutput
		}
	case "time":
		if receiver == "Timer" || receiver == "Ticker" {
			return ofTime
		}
	case "sync", "sync/atomic":
		return ofSync
	}
	return ""
}

// forbiddenFunc judges a function of a package.
func forbiddenFunc(path, name string) string {
	switch path {
	case "time":
		if slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, name) {
			return ofTime
		}
	case "math/rand", "math/rand/v2":
		if !strings.HasPrefix(name, "New") { // a generator of one's own has a seed
			return ofChance
		}
	case "crypto/rand":
		return ofChance
	case "hash/maphash":
		if name == "MakeSeed" {
			return ofChance
		}
	case "os":
		if !slices.Contains([]string{"IsNotExist", "IsExist", "IsPermission", "IsTimeout", "IsPathSeparator", "SameFile", "Expand", "NewSyscallError"}, name) {
			return ofOutside
		}
	case "os/exec", "os/signal", "os/user", "syscall", "io/ioutil", "database/sql", "net/rpc", "net/smtp":
		return ofOutside
	case "net":
		if strings.HasPrefix(name, "Dial") || strings.HasPrefix(name, "Listen") || strings.HasPrefix(name, "Lookup") || strings.HasPrefix(name, "Resolve") ||
			strings.HasPrefix(name, "Interface") || strings.HasPrefix(name, "File") || name == "Pipe" {
			return ofOutside
		}
	case "net/http":
		if slices.Contains([]string{"Get", "Head", "Post", "PostForm", "ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"}, name) {
			return ofOutside
		}
	case "path/filepath":
		if slices.Contains([]string{"Abs", "EvalSymlinks", "Glob", "Walk", "WalkDir"}, name) {
			return ofOutside
		}
	case "fmt":
		return forbiddenFmt(name)
	case "log":
		return ofOutput
	case "log/slog":
		if slices.Contains([]string{"Debug", "DebugContext", "Info", "InfoContext", "Warn", "WarnContext", "Error", "ErrorContext", "Log", "LogAttrs"}, name) {
			return ofOutput
		}
	case "runtime":
		if slices.Contains([]string{"GOMAXPROCS", "Gosched", "NumCPU", "NumGoroutine"}, name) {
			return ofOutside
		}
	case "sync", "sync/atomic":
		return ofSync
	case "context":
		if name == "Background" || name == "TODO" {
			return ofContext
		}
	}
	return ""
}

func forbiddenFmt(name string) string {
	switch {
	case strings.HasPrefix(name, "Print"):
		return ofOutput
	case name == "Scan" || name == "Scanf" || name == "Scanln":
		return ofOutside
	}
	return ""
}

// copies judges a function of io: one that reads or writes is free between values in memory.
func (v *visitor) copies(name string, above []ast.Node) string {
	if name == "Pipe" {
		return ofSync
	}
	if !slices.Contains([]string{"Copy", "CopyBuffer", "CopyN", "ReadAll", "ReadAtLeast", "ReadFull", "WriteString"}, name) {
		return ""
	}
	call, ok := callOf(above)
	if !ok {
		return ofOutside
	}
	ends := 1
	if strings.HasPrefix(name, "Copy") {
		ends = 2
	}
	for _, arg := range call.Args[:min(ends, len(call.Args))] {
		if !inMemory(v.pass.TypesInfo.TypeOf(arg)) {
			return ofOutside
		}
	}
	return ""
}

// inMemory reports whether what is read or written is a value of the program.
func inMemory(t types.Type) bool {
	switch types.TypeString(t, nil) {
	case "*bytes.Buffer", "*bytes.Reader", "*strings.Reader", "*strings.Builder":
		return true
	}
	return false
}

// callOf is the call of the function whose name stands beneath these nodes.
func callOf(above []ast.Node) (*ast.CallExpr, bool) {
	for _, outer := range slices.Backward(above) {
		switch n := outer.(type) {
		case *ast.SelectorExpr, *ast.IndexExpr, *ast.ParenExpr, *ast.IndexListExpr:
		case *ast.CallExpr:
			return n, true
		default:
			return nil, false
		}
	}
	return nil, false
}

// receive finds receives from channels.
func (v *visitor) receive(n *ast.UnaryExpr) {
	if n.Op == token.ARROW {
		v.report(n, "a receive from a channel is not recorded: use futures and signals")
	}
}

// builtin finds channels that are made or closed.
func (v *visitor) builtin(n *ast.CallExpr) {
	id, ok := ast.Unparen(n.Fun).(*ast.Ident)
	if !ok || len(n.Args) == 0 {
		return
	}
	b, ok := v.pass.TypesInfo.Uses[id].(*types.Builtin)
	if !ok {
		return
	}
	if _, channel := v.pass.TypesInfo.TypeOf(n.Args[0]).Underlying().(*types.Chan); channel && (b.Name() == "make" || b.Name() == "close") {
		v.report(n, "a channel is not recorded: use futures and signals")
	}
}
