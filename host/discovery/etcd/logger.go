package etcd

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quietLogger takes what the client of etcd has to say, which is every attempt of every call, and passes it on for
// debugging. Without a logger the client writes to stderr.
func quietLogger(log *slog.Logger) *zap.Logger {
	return zap.New(slogCore{log})
}

type slogCore struct{ log *slog.Logger }

func (c slogCore) Enabled(zapcore.Level) bool {
	return c.log.Enabled(context.Background(), slog.LevelDebug)
}

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{c.log.With(attributes(fields)...)}
}

func (c slogCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return checked
	}
	return checked.AddCore(e, c)
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Debug("etcd client: "+e.Message, attributes(fields)...)
	return nil
}

func (slogCore) Sync() error { return nil }

func attributes(fields []zapcore.Field) []any {
	encoded := zapcore.NewMapObjectEncoder()
	list := make([]any, 0, len(fields))
	for _, f := range fields {
		f.AddTo(encoded)
	}
	for name, value := range encoded.Fields {
		list = append(list, slog.Any(name, value))
	}
	return list
}
