package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/tool"
)

// Database asks how a database fares whose file came with the image.
type Database struct{}

// Summary describes the scenario.
func (Database) Summary() bench.Summary {
	return bench.Summary{
		Name: "database", Question: "How does a database fare whose file came with the image?",
		Text: `sqlite3 updates random rows of a database of the image, one transaction each, with full
synchronisation, with a rollback journal and with a write-ahead log. "Pages" does what
PostgreSQL does: each transaction appends 8 KiB to a log and calls fdatasync; after
every sixteenth the changed pages of 8 KiB are written in place, with fsync. "First" is
a fresh container, whose first write pays for a copy; "again" is the same container a
second time.

The rate has all of the transactions in it, the copy included, so overlayfs' first rate
falls with the size of the database; see first-write for how.`,
	}
}

// Ready looks for sqlite3.
func (Database) Ready() error { return tool.SQLite.Installed() }

// rows of the database, each of a KiB.
func (Database) rows(s bench.Scale) int { return bench.Pick(s, 500, 4000, 50_000) }

func (Database) transactions(s bench.Scale) int { return bench.Pick(s, 5, 16, 200) }

func (Database) pages(s bench.Scale) content {
	return content{"pages", bench.Pick[int64](s, mib, 8*mib, 64*mib)}
}

// Prepare makes both databases.
func (x Database) Prepare(ctx context.Context, s *bench.Site) error {
	return s.Store.Commit(ctx, "base", "", func(dir string) error {
		script := fmt.Sprintf(`PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO t SELECT i, randomblob(1000) FROM n;`, x.rows(s.Scale))
		if _, err := tool.SQLite.RunWith(ctx, strings.NewReader(script), "-batch", filepath.Join(dir, "db")); err != nil {
			return err
		}
		return x.pages(s.Scale).write(filepath.Join(dir, "pages"))
	})
}

// Cases are databases, first and again.
func (x Database) Cases(scale bench.Scale) []bench.Case {
	var cases []bench.Case
	for _, kind := range []struct {
		name string
		run  func(ctx context.Context, s *bench.Site, dir string, turn int) error
	}{
		{"sqlite, rollback journal", x.sqlite("DELETE")},
		{"sqlite, write-ahead log", x.sqlite("WAL")},
		{"pages", x.postgres},
	} {
		for _, again := range []bool{false, true} {
			if scale == bench.Quick && kind.name != "pages" && (again || kind.name == "sqlite, write-ahead log") {
				continue // a start of sqlite3 takes longer than its work
			}
			name := kind.name + ", first"
			if again {
				name = kind.name + ", again"
			}
			cases = append(cases, bench.Case{Name: name, Run: func(ctx context.Context, s *bench.Site) error {
				return x.measure(ctx, s, again, kind.run)
			}})
		}
	}
	return cases
}

func (x Database) measure(ctx context.Context, s *bench.Site, again bool, run func(ctx context.Context, s *bench.Site, dir string, turn int) error) error {
	c, err := s.Container(ctx, "base")
	if err != nil {
		return err
	}
	if again {
		if err := run(ctx, s, c.Dir, 0); err != nil {
			return err
		}
	}
	if err := s.Measure(ctx, func() error { return run(ctx, s, c.Dir, 1) }); err != nil {
		return err
	}
	s.Forget(bench.Read)
	if !s.Checking {
		return nil
	}
	out, err := tool.SQLite.RunWith(ctx, strings.NewReader("PRAGMA integrity_check; SELECT count(*) FROM t;"), "-batch", filepath.Join(c.Dir, "db"))
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("ok\n%d", x.rows(s.Scale)); strings.TrimSpace(out) != want {
		return bench.Corrupt("the database's own check says %q", strings.TrimSpace(out))
	}
	return nil
}

// sqlite runs transactions in the program sqlite3. Its start is part of the time.
func (x Database) sqlite(journal string) func(ctx context.Context, s *bench.Site, dir string, turn int) error {
	return func(ctx context.Context, s *bench.Site, dir string, turn int) error {
		var script strings.Builder
		fmt.Fprintf(&script, "PRAGMA journal_mode=%s; PRAGMA synchronous=FULL;\n", journal)
		random := rand.New(rand.NewPCG(uint64(turn), 6))
		for range x.transactions(s.Scale) {
			fmt.Fprintf(&script, "UPDATE t SET v=randomblob(1000) WHERE id=%d;\n", 1+random.IntN(x.rows(s.Scale)))
		}
		_, err := tool.SQLite.RunWith(ctx, strings.NewReader(script.String()), "-batch", filepath.Join(dir, "db"))
		return err
	}
}

const (
	pgPage     = 8 * kib
	checkpoint = 16 // transactions
)

// postgres writes as PostgreSQL does.
func (x Database) postgres(_ context.Context, s *bench.Site, dir string, turn int) (err error) {
	data, err := os.OpenFile(filepath.Join(dir, "pages"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	random := rand.New(rand.NewPCG(uint64(turn), 8))
	pages := x.pages(s.Scale).size / pgPage
	block := make([]byte, pgPage)
	var dirty []int64
	for n := range x.transactions(s.Scale) {
		if _, err := log.Write(block); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(log.Fd())); err != nil {
			return err
		}
		dirty = append(dirty, random.Int64N(pages))
		if (n+1)%checkpoint != 0 {
			continue
		}
		for _, p := range dirty {
			if _, err := data.WriteAt(block, p*pgPage); err != nil {
				return err
			}
		}
		dirty = dirty[:0]
		if err := data.Sync(); err != nil {
			return err
		}
	}
	return nil
}
