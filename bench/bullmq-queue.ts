// The name that BullMQ's queue and its workers share.

export const queueName = "clips";
