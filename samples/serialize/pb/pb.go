// Package pb holds the protobuf messages of the serialize sample, generated from arith.proto.
package pb

//go:generate protoc --go_out=. --go_opt=paths=source_relative arith.proto
