// Services keep what belongs to one life of a replica, such as who is connected: each life gets its
// own, made when it is first asked for.

import type { Life } from "../ports.js";

/** `make`, which is called once for each life. */
export function perLife<S>(make: (life: Life) => S): (life: Life) => S {
  const made = new WeakMap<Life, { readonly service: S }>();
  return (life) => {
    const known = made.get(life);
    if (known) return known.service;
    const service = make(life);
    made.set(life, { service });
    return service;
  };
}
