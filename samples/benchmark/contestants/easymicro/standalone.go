package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

const published = "easymicro-published"

const gatewayManifest = `host: {name: gateway}
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
policies: {files: [policies.yaml]}
discovery: {etcd: [{name: main, endpoints: [%q]}]}
gateway: {remote: {etcd: main, services: [Bench]}}
`

// serveStandalone runs a gateway, and a host in a process of its own.
func serveStandalone(ctx context.Context, s contestant.Site) error {
	etcd := os.Getenv(contract.EtcdVariable)
	if etcd == "" {
		return errors.New("no etcd in " + contract.EtcdVariable)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	// It exits when its stdin ends, with this process at the latest.
	behind, err := contract.Start(context.WithoutCancel(ctx), program, os.Environ(), "server", "-contestant", published)
	if err != nil {
		return err
	}
	defer func() { _ = behind.Stop() }()
	if err := behind.Read(new(contract.Ready)); err != nil {
		return err
	}
	s.AddProcess(behind)
	err = runHost(ctx, s.Work, fmt.Sprintf(gatewayManifest, etcd), noRule, func(address string) error {
		if err := awaitRoute(ctx, address); err != nil {
			return err
		}
		s.Ready(address)
		return nil
	})
	return errors.Join(err, behind.Stop())
}

// patience is how long a gateway may take to find a service.
const patience = 20 * time.Second

// awaitRoute calls until the gateway knows the service.
func awaitRoute(ctx context.Context, address string) error {
	conn, err := contestant.DialHTTP(mulPath)(ctx, address)
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; {
		if err = conn.Caller()(); err == nil {
			return conn.Close()
		}
		_ = conn.Close()
		if time.Now().After(end) {
			return fmt.Errorf("the gateway does not find its host: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
		if conn, err = contestant.DialHTTP(mulPath)(ctx, address); err != nil {
			return err
		}
	}
}
