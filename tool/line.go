package tool

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// simple is one command of a line for a shell.
type simple struct {
	text  string   // as it is written
	words []string // as a shell reads them: without quotes
	wild  []bool   // a word stands for the names of files, such as /bin/r?
}

// line is a line for a shell, taken apart.
type line struct {
	commands []simple
	plain    bool // there is nothing else in it: no substitution, no redirection, no block
	sure     bool // and no command in it is hidden from who reads it, as in a quoted script
}

// readLine takes a line for a shell apart: the commands between ; & | and line breaks, as far as
// that can be told without a shell.
func readLine(text string) line {
	r := lineReader{line: line{plain: true, sure: true}}
	for _, ch := range text {
		r.read(ch)
	}
	r.command()
	r.plain = r.plain && r.quote == 0 && !r.escaped
	r.sure = r.sure && r.plain
	return r.line
}

// lineReader reads a line character by character.
type lineReader struct {
	line
	now        simple
	raw, word  strings.Builder
	quote      rune // that is open; 0 = none is
	escaped    bool // a backslash stands before
	begun, any bool // a word has begun, if only with quotes; it is wild
}

func (r *lineReader) read(ch rune) {
	switch {
	case r.escaped:
		r.escaped = false
		if ch == '\n' {
			break // the line goes on
		}
		if r.quote == '"' && !strings.ContainsRune("$`\"\\", ch) {
			r.word.WriteByte('\\')
		}
		r.letter(ch)
	case ch == '\\' && r.quote != '\'':
		r.escaped = true
	case r.quote != 0 && ch == r.quote:
		r.quote = 0
	case r.quote != 0:
		r.plain = r.plain && (r.quote == '\'' || ch != '$' && ch != '`')
		r.letter(ch)
	case ch == '\'' || ch == '"':
		r.quote, r.begun = ch, true
	case strings.ContainsRune(";&|\n", ch):
		r.command()
		return
	case ch == ' ' || ch == '\t':
		r.end()
	default:
		r.plain = r.plain && !strings.ContainsRune("$`<>(){}!#~", ch)
		r.any = r.any || strings.ContainsRune("*?[", ch)
		r.letter(ch)
	}
	r.raw.WriteRune(ch)
}

func (r *lineReader) letter(ch rune) {
	r.word.WriteRune(ch)
	r.begun = true
}

// end ends a word.
func (r *lineReader) end() {
	if r.begun {
		r.now.words, r.now.wild = append(r.now.words, r.word.String()), append(r.now.wild, r.any)
	}
	r.word.Reset()
	r.begun, r.any = false, false
}

// command ends a command.
func (r *lineReader) command() {
	r.end()
	r.now.text = strings.Trim(r.raw.String(), " \t")
	if r.now.text != "" {
		r.commands = append(r.commands, r.now)
		r.sure = r.sure && r.now.sure()
	}
	r.now = simple{}
	r.raw.Reset()
}

// assignment is a word that sets a variable for the command behind it.
var assignment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`) })

// leads reports whether a word only says how the command behind it is run.
func leads(word string) bool {
	word = path.Base(word)
	return shells(word) || assignment().MatchString(word) || slices.Contains([]string{
		"sudo", "doas", "env", "command", "builtin", "exec", "eval", "nohup", "time", "nice", "ionice", "stdbuf", "setsid", "timeout", "xargs",
		"chroot", "unshare", "busybox", "watch", "coproc", "if", "then", "else", "elif", "while", "until", "do",
	}, word)
}

func shells(word string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "zsh"}, path.Base(word))
}

// sure reports whether it can be seen what is run.
func (s simple) sure() bool {
	if len(s.words) == 0 {
		return true
	}
	if !leads(s.words[0]) {
		return !s.wild[0]
	}
	script := func(word string) bool { return strings.ContainsAny(word, ";&|\n$`<>") }
	alone := len(s.words) == 1 && shells(s.words[0]) // it reads its script from somewhere
	return !alone && len(s.words) <= guisesMax && !slices.Contains(s.wild, true) && !slices.ContainsFunc(s.words, script)
}

// guisesMax is how many words that only say how a command is run are looked behind.
const guisesMax = 32

// guises are the ways in which a command may be meant by a rule that denies it or asks about it: as
// it is written, without quotes and the path of its program, and without what only says how it is
// run.
func (s simple) guises() []string {
	all := []string{s.text}
	for i, word := range s.words[:min(len(s.words), guisesMax)] {
		behind := strings.Join(s.words[i:], " ")
		all = append(all, behind, behind[strings.LastIndexByte(word, '/')+1:])
		if !leads(s.words[0]) {
			break
		}
	}
	return all
}
