package cost_test

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/demo/cost"
)

// The built-in bill, from the file to the recommendations.
func Example() {
	ctx := context.Background()
	b, err := cost.LoadBill(ctx, "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	c, err := b.Candidates(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range c.Items[:3] {
		fmt.Println(r.ID, r.MonthlySaving, r.Title)
	}
	fmt.Println("together", c.ProjectedSaving, "of", c.TotalBilled, c.Currency)
	// Output:
	// R1 829.44000000 Commit to the steady part of Cirro Compute
	// R2 449.28000000 Stop staging-web-1 outside working hours
	// R3 258.50561250 Find out what egress-1 did on 2025-06-19
	// together 2492.63321250 of 7125.50888860 USD
}
