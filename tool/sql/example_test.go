package sql_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/orpine-run/orpine/tool/sql"
)

// A file becomes a table; sums are exact.
func Example() {
	ctx := context.Background()
	db, err := sql.Open(ctx, sql.Config{
		Tables: map[string]string{"bill": "bill.csv"},
		FS:     fstest.MapFS{"bill.csv": {Data: []byte("service,cost\ndisk,0.1\ndisk,0.2\ncpu,7.00\n")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	r, err := db.Query(ctx, "SELECT service, decimal_sum(cost) FROM bill WHERE service = :s GROUP BY service", map[string]any{"s": "disk"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Rows)
	// Output: [[disk 0.3]]
}
