export default async ({ config, system, http, log }) => {
  const answer = await http.get(config.url);
  log.info(`${system.name} answered ${answer.status} in ${answer.duration.toFixed()} ms`);
  return {
    outcome: answer.ok ? "pass" : "fail",
    summary: `status ${answer.status}`,
    samples: { status: answer.status },
  };
};
