package main

import (
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/images/layer"
)

func TestLimitsComeFromTheConfiguration(t *testing.T) {
	var c config
	_, err := toml.Decode("[limits]\nbytes = \"2GiB\"\nentries = -1\nratio = 50\nratio_floor = \"1MiB\"\nno_devices = true\n", &c)
	require.NoError(t, err)
	assert.Equal(t, layer.Limits{Bytes: 2 << 30, Entries: -1, Ratio: 50, RatioFloor: 1 << 20, NoDevices: true}, c.Limits.limits())
	assert.Equal(t, layer.Limits{}, config{}.Limits.limits(), "nothing said is the defaults")
}
