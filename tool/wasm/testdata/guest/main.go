// Command guest is the module of the tests: its first argument says what it tries.
package main

import (
	"io"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	verb, rest := os.Args[1], os.Args[2:]
	say := func(s string) { _, _ = os.Stdout.WriteString(s) }
	defer func() {
		if v := recover(); v != nil {
			os.Exit(3)
		}
	}()
	switch verb {
	case "echo":
		in, _ := io.ReadAll(os.Stdin)
		say(string(in))
	case "args":
		say(strings.Join(os.Args, " "))
	case "env":
		say(strings.Join(os.Environ(), "\n"))
	case "fail":
		_, _ = os.Stderr.WriteString("this is why")
		os.Exit(7)
	case "panic":
		var m map[string]int
		m["x"]++
	case "loop":
		for n := 0; ; n++ {
			if n < 0 {
				say("x")
			}
		}
	case "calls":
		for i := 0; ; i++ {
			if fib(20) < 0 {
				say("x")
			}
		}
	case "sleep":
		time.Sleep(time.Hour)
	case "memory":
		var keep [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			keep = append(keep, b)
			if len(keep) > 1<<16 {
				say("it has 64 GB")
			}
		}
	case "output":
		for {
			say(strings.Repeat("o", 4096))
		}
	case "stderr":
		for {
			_, _ = os.Stderr.WriteString(strings.Repeat("e", 4096))
		}
	case "read":
		for _, name := range rest {
			data, err := os.ReadFile(name)
			if err == nil {
				say("LEAK " + name + ": " + string(data) + "\n")
			}
			if entries, err := os.ReadDir(name); err == nil {
				say("LIST " + name + ":")
				for _, e := range entries {
					say(" " + e.Name())
				}
				say("\n")
			}
		}
	case "write":
		for _, name := range rest {
			try(say, "WRITE", os.WriteFile(name, []byte("x"), 0o600))
			try(say, "MKDIR", os.Mkdir(name+"d", 0o700))
			try(say, "REMOVE", os.Remove(name))
			try(say, "RENAME", os.Rename(name, name+"2"))
			try(say, "LINK", os.Link(name, name+"3"))
			try(say, "SYMLINK", os.Symlink("/etc/passwd", name+"4"))
			try(say, "TRUNCATE", os.Truncate(name, 0))
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteString("x")
			}
			try(say, "RDWR", err)
		}
	case "files":
		var open []*os.File
		for range 1000 {
			f, err := os.Open(rest[0])
			if err != nil {
				say("stopped")
				os.Exit(len(open))
			}
			open = append(open, f)
		}
	case "dial":
		_, err := net.Dial("tcp", rest[0])
		try(say, "DIAL", err)
		_, err = net.Listen("tcp", ":0")
		if err == nil {
			say("listens, in its own memory")
		}
	}
}

func try(say func(string), what string, err error) {
	if err == nil {
		say(what + "\n")
	}
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}
