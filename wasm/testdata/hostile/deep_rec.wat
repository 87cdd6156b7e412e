;; It calls itself without end.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"deep-rec\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 177)) (i32.const 0))
  (func $f (param i64) (result i64) (i64.add (call $f (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
  (func (export "tocsin_collect") (result i32) (i32.wrap_i64 (call $f (i64.const 0))))
)
