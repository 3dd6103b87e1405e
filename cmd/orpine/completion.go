package main

import (
	"context"
	"fmt"
	"strings"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"${enum}."`
}

// Help implements kong.HelpProvider.
func (completionCmd) Help() string {
	return `Examples:
  source <(orpine completion bash)
  orpine completion zsh > "${fpath[1]}/_orpine"
  orpine completion fish > ~/.config/fish/completions/orpine.fish`
}

// Run prints a completion script. Verbs and flags come from the parser itself, and
// references from orpine ps, so the script does not age.
func (c *completionCmd) Run(_ context.Context, a *app) error {
	var verbs, flags []string
	for _, n := range a.parser.Model.Children {
		if !n.Hidden {
			verbs = append(verbs, n.Name)
		}
	}
	for _, group := range a.parser.Model.AllFlags(true) {
		for _, f := range group {
			flags = append(flags, "--"+f.Name)
		}
	}
	words := strings.Join(verbs, " ")
	var script string
	switch c.Shell {
	case "bash":
		script = fmt.Sprintf(bashScript, words, strings.Join(flags, " "), a.families(`      %[1]s) COMPREPLY=($(compgen -W "%[2]s" -- "$cur")) ;;`+"\n"))
	case "zsh":
		script = fmt.Sprintf(zshScript, words, a.families("    %[1]s) compadd -- %[2]s ;;\n"))
	case "fish":
		script = fmt.Sprintf(fishScript, words, a.families("%[1]s "),
			a.families(`complete -c orpine -n "__fish_seen_subcommand_from %[1]s" -f -a "%[2]s"`+"\n"))
	}
	_, err := fmt.Fprint(a.stdout, script)
	return err
}

// families are the verbs that have verbs of their own, such as bench, in the words of a
// shell: line gets the verb and the list of those beneath it.
func (a *app) families(line string) string {
	var b strings.Builder
	for _, n := range a.parser.Model.Children {
		var names []string
		for _, leaf := range n.Children {
			if !leaf.Hidden {
				names = append(names, leaf.Name)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, line, n.Name, strings.Join(names, " "))
		}
	}
	return b.String()
}

const bashScript = `_orpine() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "%s %s" -- "$cur"))
  else
    case ${COMP_WORDS[1]} in
      run|backfill|import|check|fake-model) COMPREPLY=($(compgen -f -- "$cur")) ;;
%s      *) COMPREPLY=($(compgen -W "@last $(orpine ps -a -o name 2>/dev/null)" -- "$cur")) ;;
    esac
  fi
}
complete -o filenames -F _orpine orpine
`

const zshScript = `#compdef orpine
if (( CURRENT == 2 )); then
  compadd -- %s
else
  case ${words[2]} in
    run|backfill|import|check|fake-model) _files ;;
%s    *) compadd -- @last ${(f)"$(orpine ps -a -o name 2>/dev/null)"} ;;
  esac
fi
`

const fishScript = `complete -c orpine -n __fish_use_subcommand -f -a "%s"
complete -c orpine -n "not __fish_use_subcommand; and not __fish_seen_subcommand_from run backfill import check fake-model %s" -f -a "@last (orpine ps -a -o name 2>/dev/null)"
%s`
