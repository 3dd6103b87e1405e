package access_test

import (
	"context"
	"fmt"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

// A server asks who comes, whether they may, and writes down what was asked for.
func Example() {
	if err := guard(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ci may read runs: true
	// ci may read the audit log: false
	// 1 GET /v1/audit ci denied
}

func guard() error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r, err := orpine.Open(ctx, orpine.Config{Data: dir, Passive: true})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	audit, err := access.OpenAudit(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = audit.Close() }()

	tokens := access.NewTokens(r)
	made, err := tokens.Create(ctx, client.NewToken{Name: "ci", Scopes: []string{"runs:*"}, TTL: "24h"})
	if err != nil {
		return err
	}
	who, err := tokens.Authenticate(ctx, made.Secret)
	if err != nil {
		return err
	}
	fmt.Printf("%s may read runs: %v\n", who.Name, who.May(access.RunsRead))
	fmt.Printf("%s may read the audit log: %v\n", who.Name, who.May(access.AuditRead))
	err = audit.Append(ctx, client.AuditLine{Who: who.Name, Method: "GET", Path: "/v1/audit", Code: string(durable.CodeDenied)})
	if err != nil {
		return err
	}
	lines, err := audit.Lines(ctx, 0, 10)
	for _, l := range lines {
		fmt.Println(l.N, l.Method, l.Path, l.Who, l.Code)
	}
	return err
}
