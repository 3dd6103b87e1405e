package secret_test

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/tool/secret"
)

// A value is put in at the last moment and taken out of what comes back.
func Example() {
	environment := func(name string) (string, bool) { return "s3cr3t-key", name == "API_KEY" } // os.LookupEnv
	b := secret.New(secret.Environment(environment, "API_KEY"))

	header, err := b.Expand(context.Background(), "Bearer ${secret:API_KEY}")
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := "you sent " + header
	fmt.Println(b.Redactor().Text(answer))
	// Output: you sent Bearer [secret:API_KEY]
}
