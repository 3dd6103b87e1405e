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
		verbs = append(verbs, n.Name)
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
		script = fmt.Sprintf(bashScript, words, strings.Join(flags, " "))
	case "zsh":
		script = fmt.Sprintf(zshScript, words)
	case "fish":
		script = fmt.Sprintf(fishScript, words)
	}
	_, err := fmt.Fprint(a.stdout, script)
	return err
}

const bashScript = `_orpine() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "%s %s" -- "$cur"))
  else
    case ${COMP_WORDS[1]} in
      run|check|fake-model) COMPREPLY=($(compgen -f -- "$cur")) ;;
      *) COMPREPLY=($(compgen -W "@last $(orpine ps -a -o name 2>/dev/null)" -- "$cur")) ;;
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
    run|check|fake-model) _files ;;
    *) compadd -- @last ${(f)"$(orpine ps -a -o name 2>/dev/null)"} ;;
  esac
fi
`

const fishScript = `complete -c orpine -n __fish_use_subcommand -f -a "%s"
complete -c orpine -n "not __fish_use_subcommand; and not __fish_seen_subcommand_from run check fake-model" -f -a "@last (orpine ps -a -o name 2>/dev/null)"
`
