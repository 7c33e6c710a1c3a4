package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/veneerdm/veneer/service"
	"github.com/veneerdm/veneer/snapshots"
	"github.com/veneerdm/veneer/snapshots/proxy"
)

func (a *app) serveCommand() *cobra.Command {
	var metrics string
	c := &cobra.Command{
		Use: "serve", Short: "Serve containerd as a snapshotter", Args: args(0, 0, "no arguments"),
		Long: `Keep the store open and serve it on a unix socket that is root's alone: to containerd
as a proxy snapshotter, and to the other commands of veneer. It ends at SIGTERM,
lets calls under way finish and leaves all devices active; running containers do
not notice that it was away.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := requireRoot(); err != nil {
				return err
			}
			if metrics == "" {
				metrics = a.config.Metrics
			}
			return a.serve(c.Context(), metrics)
		},
	}
	c.Flags().StringVar(&metrics, "metrics", "", "address for Prometheus, such as 127.0.0.1:9610 (default: none)")
	return c
}

func (a *app) serve(ctx context.Context, metricsAddress string) error {
	d, err := snapshots.Open(ctx, a.driverConfig())
	if err != nil {
		return err
	}
	err = a.serveDriver(ctx, d, metricsAddress)
	return errors.Join(err, d.Close())
}

func (a *app) serveDriver(ctx context.Context, d *snapshots.Driver, metricsAddress string) error {
	l, err := a.listen()
	if err != nil {
		return err
	}
	m := proxy.NewMetrics(d)
	s := service.NewServer(a.log, m.Observe)
	service.Register(s, service.Config{Driver: d, Version: version})
	proxy.Register(s, d)
	if metricsAddress != "" {
		stop, err := a.serveMetrics(metricsAddress, m)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		defer stop()
	}
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			a.log.WithError(err).Warn("systemd was not told of the state")
		}
	}
	a.log.WithField("address", l.Addr().String()).WithField("root", a.root).Info("serving")
	notify(daemon.SdNotifyReady)
	defer notify(daemon.SdNotifyStopping)
	return s.Serve(ctx, l)
}

// listen takes the socket that systemd has made, or makes one.
func (a *app) listen() (net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	switch len(given) {
	case 0:
		return service.Listen(a.address)
	case 1:
		return given[0], nil
	}
	return nil, fmt.Errorf("systemd gave %d sockets; veneer serves one", len(given))
}

// serveMetrics answers Prometheus until stop is called.
func (a *app) serveMetrics(address string, m *proxy.Metrics) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics on %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.WithError(err).Error("metrics are no longer served")
		}
	}()
	return func() { _ = server.Close() }, nil // nothing is lost
}
