/** CRC-32C, as btrfs and ext4 use it for what is on the disk.  Models crc32c() of lib/. */

/** The polynomial of Castagnoli, bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const table = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
