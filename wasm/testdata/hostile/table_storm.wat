;; It asks for one more element of a table again and again, and fills the table each time.
(module
  (import "tocsin_v1" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 2)
  (global (export "tocsin_abi_v1") i32 (i32.const 1))
  (data (i32.const 65536) "{\"abi\":\"tocsin/1\",\"name\":\"table-storm\",\"version\":\"1.0.0\",\"offers\":[\"collector\"],\"samples\":[{\"name\":\"n\",\"type\":\"number\"}],\"wants\":{\"http\":[\"http://*:*\"],\"private\":true,\"limits\":{}}}")
  (func (export "tocsin_describe") (result i32) (call $write (i32.const 65536) (i32.const 180)) (i32.const 0))
  (table $t 1 funcref)
  (func (export "tocsin_collect") (result i32) (loop $l (drop (table.grow $t (ref.null func) (i32.const 1))) (table.fill $t (i32.const 0) (ref.null func) (table.size $t)) (br $l)) (i32.const 0))
)
