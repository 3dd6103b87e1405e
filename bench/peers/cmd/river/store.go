package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver, the same as Orpine's
)

const (
	// conns is the size of the pool on Postgres; pgx's default, 4, starves 1,000 runs.
	conns = 32
	// pragmas are those River's documentation gives, and synchronous=FULL by name.
	pragmas = "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
)

func overPostgres(ctx context.Context, dsn string, cfg *river.Config) (insertFunc, commitFunc, error) {
	pc, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	pc.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, nil, err
	}
	if _, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS result (job bigint, seq int, data bytea, PRIMARY KEY (job, seq))"); err != nil {
		return nil, nil, err
	}
	commit := func(ctx context.Context, job *river.Job[args], seq int, result []byte) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO result VALUES ($1, $2, $3)", job.ID, seq, result); err != nil {
				return err
			}
			_, err := river.ResumableSetStepTx[*riverpgxv5.Driver](ctx, tx, job)
			return err
		})
	}
	insert, err := start(ctx, riverpgxv5.New(pool), cfg)
	return insert, commit, err
}

func overSQLite(ctx context.Context, path string, cfg *river.Config) (insertFunc, commitFunc, error) {
	db, err := sql.Open("sqlite", "file:"+path+pragmas)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1) // as River's documentation says
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS result (job bigint, seq int, data blob, PRIMARY KEY (job, seq))"); err != nil {
		return nil, nil, err
	}
	commit := func(ctx context.Context, job *river.Job[args], seq int, result []byte) (err error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, tx.Rollback())
			}
		}()
		if _, err := tx.ExecContext(ctx, "INSERT INTO result VALUES (?, ?, ?)", job.ID, seq, result); err != nil {
			return err
		}
		if _, err := river.ResumableSetStepTx[*riversqlite.Driver](ctx, tx, job); err != nil {
			return err
		}
		return tx.Commit()
	}
	insert, err := start(ctx, riversqlite.New(db), cfg)
	return insert, commit, err
}

// start makes River's tables and starts its client.
func start[T any](ctx context.Context, driver riverdriver.Driver[T], cfg *river.Config) (insertFunc, error) {
	m, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	c, err := river.NewClient(driver, cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context, a args) error {
		_, err := c.Insert(ctx, a, nil)
		return err
	}, nil
}
