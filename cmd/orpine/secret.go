package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type secretCmd struct {
	Set    secretSetCmd    `cmd:"" help:"Keep a secret, which is read from standard input."`
	List   secretListCmd   `cmd:"" help:"List the names of the secrets."`
	Delete secretDeleteCmd `cmd:"" help:"Forget one."`
}

type secretSetCmd struct {
	Name string `arg:"" help:"Its name: files say secret:NAME in ${ and }."`
}

// Help implements kong.HelpProvider.
func (secretSetCmd) Help() string {
	return `The value is what stands on standard input, without the end of its last line. It is kept encrypted in the data
directory; the key is ORPINE_SECRET_KEY, or a file beside it that is made when there is none.

Secrets also come from the variables that ORPINE_SECRETS names, and from the files in ORPINE_SECRETS_DIR.

Examples:
  orpine secret set GITHUB_TOKEN < token.txt
  pass show github | orpine secret set GITHUB_TOKEN`
}

// Run keeps a secret.
func (c *secretSetCmd) Run(ctx context.Context, a *app) error {
	if err := a.onlyHere("secret"); err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	var value string
	if terminal(a.stdin) {
		if value, err = a.line(ctx, "value (it is shown) "); err != nil {
			return err
		}
	} else {
		const most = 64 << 10
		data, err := io.ReadAll(io.LimitReader(a.stdin, most))
		if err != nil {
			return environmentError{fmt.Errorf("read standard input: %w", err)}
		}
		value = strings.TrimRight(string(data), "\r\n")
	}
	if err := os.MkdirAll(a.flags.Data, 0o700); err != nil {
		return environmentError{err}
	}
	if err := gear.SetSecret(c.Name, value); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "secret %s is kept\n", c.Name)
	return nil
}

type secretListCmd struct{}

// Help implements kong.HelpProvider.
func (secretListCmd) Help() string {
	return `Only those that the data directory keeps.

Examples:
  orpine secret list`
}

// Run lists the secrets.
func (*secretListCmd) Run(_ context.Context, a *app) error {
	if err := a.onlyHere("secret"); err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	names, err := gear.Secrets()
	if err != nil {
		return err
	}
	l := listing{head: []string{"SECRET"}}
	for _, n := range names {
		l.rows, l.names, l.values = append(l.rows, []string{n}), append(l.names, n), append(l.values, map[string]string{"name": n})
	}
	return a.print(l)
}

type secretDeleteCmd struct {
	Name string `arg:"" help:"Its name."`
}

// Help implements kong.HelpProvider.
func (secretDeleteCmd) Help() string {
	return `Examples:
  orpine secret delete GITHUB_TOKEN`
}

// Run forgets a secret.
func (c *secretDeleteCmd) Run(_ context.Context, a *app) error {
	if err := a.onlyHere("secret"); err != nil {
		return err
	}
	if c.Name == "" {
		return durable.Errorf(durable.CodeInvalid, "name a secret: orpine secret list names them")
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	if err := gear.DeleteSecret(c.Name); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "secret %s is forgotten\n", c.Name)
	return nil
}
