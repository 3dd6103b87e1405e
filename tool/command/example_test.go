package command_test

import (
	"fmt"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/command"
)

// An agent may look at the history of one repository, at nothing else, and change nothing.
func Example() {
	log, err := command.New(command.Config{}, command.Declared{
		Name: "git_log", Description: "The last commits that touched a path.",
		Command:  []string{"git", "log", "--oneline", "-n", "${args.count}", "--", "${args.path}"},
		ReadOnly: []string{"/srv/repo"}, Dir: "/srv/repo",
		Options: durable.StepOptions{Effect: durable.Read},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(log.Spec().Name, log.Spec().Options.Effect)
	fmt.Println(string(log.Spec().Schema))
	// Output:
	// git_log read
	// {"additionalProperties":false,"properties":{"count":{"type":"string"},"path":{"type":"string"}},"required":["count","path"],"type":"object"}
}
