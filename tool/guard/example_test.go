package guard_test

import (
	"fmt"
	"time"

	"github.com/orpine-run/orpine/tool/guard"
)

// A client that reaches the public internet and one service of the house.
func Example() {
	g, err := guard.New(guard.Config{Allow: []string{"10.0.0.7:8080"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := g.Client(time.Minute)
	resp, err := client.Get("http://169.254.169.254/latest/meta-data/")
	if err == nil {
		_ = resp.Body.Close()
	}
	fmt.Println(guard.Cause(err))
	// Output:
	// 169.254.169.254 is the address of a metadata service, which tools may not reach; if they should, put "169.254.169.254:80" on the allow list
}
