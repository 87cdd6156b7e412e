;; It copies all of its memory and table again and again.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"copy-storm\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 179)) (i32.const 0))
  (table $t 100000 funcref)
  (func (export "tocsin_collect") (result i32) (loop $l (memory.copy (i32.const 0) (i32.const 1) (i32.const 131071)) (table.copy (i32.const 0) (i32.const 1) (i32.const 99999)) (br $l)) (i32.const 0))
)
