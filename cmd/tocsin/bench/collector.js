const { used, most } = JSON.parse(require("fs").readFileSync(0, "utf8")).config;
const outcome = used < most ? "pass" : "fail";
console.log(JSON.stringify({ outcome, summary: `${used} of ${most} used`, samples: { n: used } }));
