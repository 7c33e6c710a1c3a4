package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/veneerdm/veneer/bench/stats"
)

func TestMedian(t *testing.T) {
	assert.Equal(t, 2.0, stats.Median([]float64{3, 1, 2}))
	assert.Equal(t, 2.5, stats.Median([]float64{4, 1, 3, 2}))
	assert.Equal(t, 7.0, stats.Median([]float64{7}))
	assert.True(t, math.IsNaN(stats.Median(nil)))
	assert.Equal(t, math.MaxFloat64, stats.Median([]float64{math.MaxFloat64, math.MaxFloat64}))
}

func TestIntervalIsDeterministicAndCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	covered := 0
	const runs = 150
	for range runs {
		samples := make([]float64, 15)
		for i := range samples {
			samples[i] = math.Exp(random.NormFloat64()) // its median is 1
		}
		low, high := stats.Interval(samples)
		again, _ := stats.Interval(samples)
		assert.Equal(t, low, again)
		assert.LessOrEqual(t, low, high)
		if low <= 1 && 1 <= high {
			covered++
		}
	}
	assert.InDelta(t, stats.Confidence, float64(covered)/runs, 0.06)
}

func TestIntervalOfFew(t *testing.T) {
	low, high := stats.Interval([]float64{2, 1})
	assert.Equal(t, []float64{1, 2}, []float64{low, high})
	low, high = stats.Interval([]float64{3, 3, 3, 3})
	assert.Equal(t, []float64{3, 3}, []float64{low, high})
}

// The exact values are those of tables of the Mann-Whitney U distribution.
func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		p    float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{1, 2, 3, 4, 6}, []float64{5, 7, 8, 9, 10}, 4.0 / 252},
		{[]float64{1, 3, 5}, []float64{2, 4, 6}, 0.7},
		{[]float64{1, 2}, []float64{1}, 1},
		{[]float64{5, 5, 5}, []float64{5, 5, 5}, 1},
	} {
		assert.InDelta(t, c.p, stats.MannWhitney(c.a, c.b), 1e-9, "%v %v", c.a, c.b)
		assert.InDelta(t, c.p, stats.MannWhitney(c.b, c.a), 1e-9, "%v %v", c.b, c.a)
	}
}

func TestMannWhitneyWithTies(t *testing.T) {
	same, more := []float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2}
	assert.Less(t, stats.MannWhitney(same, more), stats.Alpha)
	assert.Greater(t, stats.MannWhitney([]float64{1, 2, 2, 3}, []float64{2, 2, 3, 1}), 0.5)
}

// A test of level Alpha says "different" of equals no more often than that.
func TestCompareOfEquals(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	different := 0
	const runs = 2000
	for range runs {
		a, b := make([]float64, 8), make([]float64, 8)
		for i := range a {
			a[i], b[i] = math.Exp(random.NormFloat64()), math.Exp(random.NormFloat64())
		}
		if stats.Compare(a, b).Verdict == stats.Different {
			different++
		}
	}
	assert.LessOrEqual(t, float64(different)/runs, 1.5*stats.Alpha)
}

func TestCompare(t *testing.T) {
	near := []float64{1.00, 1.01, 0.99, 1.02, 0.98, 1.005}
	for _, c := range []struct {
		name     string
		old, now []float64
		want     stats.Verdict
	}{
		{"much more", near, []float64{2, 2.1, 1.9, 2.05, 1.95, 2.2}, stats.Different},
		{"the same", near, near, stats.Same},
		{"less than is of interest", near, []float64{1.021, 1.022, 1.023, 1.024, 1.0205, 1.0206}, stats.Same},
		{"scattered", []float64{1, 5, 2, 9, 3, 7}, []float64{2, 6, 1, 8, 4, 9}, stats.Noisy},
		{"one outlier in five", []float64{1, 1, 1, 1, 30}, []float64{20, 20, 20, 20, 20}, stats.Noisy},
		{"four a side", []float64{1, 2, 3, 4}, []float64{10, 20, 30, 40}, stats.Few},
		{"nothing and nothing", []float64{0, 0, 0, 0, 0}, []float64{0, 0, 0, 0, 0}, stats.Same},
		{"nothing and something", []float64{0, 0, 0, 0, 0}, []float64{1, 1, 1, 1, 1}, stats.Different},
	} {
		assert.Equal(t, c.want, stats.Compare(c.old, c.now).Verdict, c.name)
	}
	assert.InDelta(t, 2, stats.Compare([]float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2}).Ratio, 1e-9)
}
